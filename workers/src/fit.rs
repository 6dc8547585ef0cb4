//! What of a piece has room in an answer that is as large as answers may be. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::IntoIter;

use relay_lifecycle::transcript::{pieces, weight};
use relay_schemas::{Delta, ToolCallDelta};

/// Bytes that are taken of one field at a time, so that all fields get as far.
const STEP: usize = 256;

/// Of which choice, which field, and of calls which one.
type Place = (u32, u8, u32);

/// As much of `deltas` as has room in `room` bytes: of each choice its reasoning, text, calls and log-probabilities from their
/// beginning, all equally far, so that none goes without because another is long. A choice that is cut says no reason for its end.
pub fn fitting(deltas: Vec<Delta>, room: usize) -> Vec<Delta> {
    let step = weight(&Delta::default()) + STEP.min(room.max(1));
    let mut sorted: BTreeMap<Place, Vec<Delta>> = BTreeMap::new();
    let mut ends = Vec::new();
    for mut delta in deltas {
        if let Some(reason) = delta.finish_reason.take() {
            ends.push((delta.index, reason));
        }
        for piece in pieces(delta, step) {
            for piece in apart(piece) {
                sorted.entry(place(&piece)).or_default().push(piece);
            }
        }
    }
    let waiting = sorted
        .into_iter()
        .map(|(place, pieces)| (place, pieces.into_iter()));
    let mut waiting: BTreeMap<Place, IntoIter<Delta>> = waiting.collect();
    let (mut left, mut taken, mut cut) = (room, Vec::new(), BTreeSet::new());
    while !waiting.is_empty() {
        waiting.retain(|(index, ..), rest| {
            let Some(piece) = rest.next() else {
                return false;
            };
            let size = content(&piece);
            if size <= left {
                left -= size;
                taken.push(piece);
                return true;
            }
            cut.insert(*index);
            let overhead = weight(&piece) - size;
            let begun = pieces(piece, left + overhead).into_iter().next();
            if let Some(begun) = begun.filter(|begun| (1..=left).contains(&content(begun))) {
                left -= content(&begun);
                taken.push(begun);
            }
            false
        });
    }
    taken.sort_by_key(place);
    let ends = ends.into_iter().filter(|(index, _)| !cut.contains(index));
    taken.extend(ends.map(|(index, reason)| Delta {
        index,
        finish_reason: Some(reason),
        ..Delta::default()
    }));
    taken
}

/// Bytes of everything that a delta says.
pub fn content(delta: &Delta) -> usize {
    let nothing = Delta {
        tool_calls: vec![ToolCallDelta::default(); delta.tool_calls.len()],
        ..Delta::default()
    };
    weight(delta) - weight(&nothing)
}

/// A piece as pieces of one field each.
fn apart(piece: Delta) -> Vec<Delta> {
    let index = piece.index;
    let one = || Delta {
        index,
        ..Delta::default()
    };
    let mut fields = vec![
        Delta {
            reasoning: piece.reasoning,
            ..one()
        },
        Delta {
            text: piece.text,
            ..one()
        },
        Delta {
            refusal: piece.refusal,
            ..one()
        },
    ];
    fields.extend(piece.tool_calls.into_iter().map(|call| Delta {
        tool_calls: vec![call],
        ..one()
    }));
    fields.push(Delta {
        logprobs: piece.logprobs,
        ..one()
    });
    fields.push(Delta {
        refusal_logprobs: piece.refusal_logprobs,
        ..one()
    });
    fields.push(Delta {
        extra: piece.extra,
        choice_extra: piece.choice_extra,
        ..one()
    });
    fields.retain(|field| !field.is_empty());
    fields
}

fn place(piece: &Delta) -> Place {
    let call = piece.tool_calls.first().map(|call| call.index);
    let field = match piece {
        _ if !piece.reasoning.is_empty() => 0,
        _ if !piece.text.is_empty() => 1,
        _ if !piece.refusal.is_empty() => 2,
        _ if call.is_some() => 3,
        _ if !piece.logprobs.is_empty() => 4,
        _ if !piece.refusal_logprobs.is_empty() => 5,
        _ => 6,
    };
    (piece.index, field, call.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use relay_schemas::FinishReason;

    use super::*;

    #[test]
    fn no_field_and_no_choice_goes_without_because_another_is_long() {
        let long = Delta {
            reasoning: "r".repeat(9_000),
            text: "t".repeat(9_000),
            logprobs: vec!["l".repeat(90); 100],
            tool_calls: vec![ToolCallDelta {
                name: Some("f".to_owned()),
                arguments: "a".repeat(9_000),
                ..ToolCallDelta::default()
            }],
            finish_reason: Some(FinishReason::Stop),
            ..Delta::default()
        };
        let short = Delta {
            index: 1,
            finish_reason: Some(FinishReason::Stop),
            ..Delta::text("short")
        };
        let taken = fitting(vec![long, short], 4_000);
        let of = |index, bytes: fn(&Delta) -> usize| {
            let of = taken.iter().filter(|piece| piece.index == index);
            of.map(bytes).sum::<usize>()
        };
        let said = [
            of(0, |piece| piece.reasoning.len()),
            of(0, |piece| piece.text.len()),
            of(0, |piece| {
                piece.tool_calls.iter().map(|call| call.arguments.len()).sum()
            }),
            of(0, |piece| piece.logprobs.iter().map(String::len).sum()),
        ];
        assert!(said.iter().all(|bytes| *bytes > 500), "{said:?}");
        assert_eq!(of(1, |piece| piece.text.len()), 5);
        let all: usize = taken.iter().map(content).sum();
        assert!((3_700..=4_000).contains(&all), "{all}");
        let ended: Vec<u32> = taken
            .iter()
            .filter(|piece| piece.finish_reason.is_some())
            .map(|piece| piece.index)
            .collect();
        assert_eq!(ended, [1], "what was cut has no end of its own");
    }
}
