//! Deltas cut to size, and joined again.

use relay_schemas::{Delta, Embedding, ToolCallDelta};

/// What a delta takes on the wire beside its texts, at most.
const DELTA: usize = 64;
/// The same of a tool call's piece.
const CALL: usize = 40;
/// The same of one text in a list.
const ENTRY: usize = 5;

/// What a delta takes on the wire, at most.
pub fn weight(delta: &Delta) -> usize {
    let optional = |text: &Option<String>| text.as_deref().map_or(0, str::len);
    DELTA
        + delta.text.len()
        + delta.reasoning.len()
        + delta.refusal.len()
        + delta.tool_calls.iter().map(call_weight).sum::<usize>()
        + entries_weight(&delta.logprobs)
        + entries_weight(&delta.refusal_logprobs)
        + optional(&delta.extra)
        + optional(&delta.choice_extra)
}

fn call_weight(call: &ToolCallDelta) -> usize {
    let texts = [&call.id, &call.kind, &call.name, &call.extra];
    let texts = texts.into_iter().flatten().map(String::len);
    CALL + call.arguments.len() + texts.sum::<usize>()
}

fn entries_weight(entries: &[String]) -> usize {
    entries.iter().map(|entry| ENTRY + entry.len()).sum()
}

/// What the piece of a vector takes on the wire, at most.
pub fn embedding_weight(piece: &Embedding) -> usize {
    16 + 4 * piece.values.len()
}

/// A delta as deltas of at most `room` bytes by their [`weight`], which together say the same. Texts are cut between
/// characters, at least one a piece, and lists between entries; names and unknown fields stay whole, however large.
pub fn pieces(delta: Delta, room: usize) -> Vec<Delta> {
    if weight(&delta) <= room {
        return vec![delta];
    }
    let index = delta.index;
    let empty = || Delta {
        index,
        ..Delta::default()
    };
    let mut out = Vec::new();
    let room_for_text = room.saturating_sub(DELTA);
    out.extend(cut(&delta.reasoning, room_for_text).map(|reasoning| Delta { reasoning, ..empty() }));
    out.extend(cut(&delta.text, room_for_text).map(|text| Delta { text, ..empty() }));
    out.extend(cut(&delta.refusal, room_for_text).map(|refusal| Delta { refusal, ..empty() }));
    for call in delta.tool_calls {
        out.extend(call_pieces(call, room_for_text).map(|call| Delta {
            tool_calls: vec![call],
            ..empty()
        }));
    }
    out.extend(lists(delta.logprobs, room_for_text).map(|logprobs| Delta { logprobs, ..empty() }));
    out.extend(
        lists(delta.refusal_logprobs, room_for_text).map(|refusal_logprobs| Delta {
            refusal_logprobs,
            ..empty()
        }),
    );
    let end = Delta {
        extra: delta.extra,
        choice_extra: delta.choice_extra,
        finish_reason: delta.finish_reason,
        ..empty()
    };
    out.extend((!end.is_empty()).then_some(end));
    out
}

/// What of a delta takes most on the wire among that which [`pieces`] leaves whole: names with unknown fields, or one entry of a
/// list. A frame must have room for as much.
pub fn indivisible(delta: &Delta) -> usize {
    let optional = |text: &Option<String>| text.as_deref().map_or(0, str::len);
    let calls = delta.tool_calls.iter();
    let calls = calls.map(|call| call_weight(call) - call.arguments.len());
    let entries = delta.logprobs.iter().chain(&delta.refusal_logprobs);
    let entries = entries.map(|entry| ENTRY + entry.len());
    let end = optional(&delta.extra) + optional(&delta.choice_extra);
    DELTA + calls.chain(entries).max().unwrap_or(0).max(end)
}

/// The piece of a vector as pieces of at most `room` bytes by their [`embedding_weight`], at least one value each.
pub fn embedding_pieces(piece: &Embedding, room: usize) -> Vec<Embedding> {
    let most = (room.saturating_sub(16) / 4).max(1);
    let piece_of = |values: &[f32]| Embedding {
        index: piece.index,
        values: values.to_vec(),
    };
    if piece.values.is_empty() {
        return vec![piece.clone()];
    }
    piece.values.chunks(most).map(piece_of).collect()
}

fn call_pieces(call: ToolCallDelta, room: usize) -> impl Iterator<Item = ToolCallDelta> {
    let index = call.index;
    let first = ToolCallDelta {
        arguments: String::new(),
        ..call
    };
    let more = cut(&call.arguments, room.saturating_sub(CALL)).map(move |arguments| ToolCallDelta {
        index,
        arguments,
        ..ToolCallDelta::default()
    });
    std::iter::once(first).chain(more.collect::<Vec<_>>())
}

/// Pieces of a text, none where it is empty; each at most `room` bytes, but never less than one character.
fn cut(text: &str, room: usize) -> impl Iterator<Item = String> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let at = rest.floor_char_boundary(room).max(first);
        let (piece, after) = rest.split_at(at);
        rest = after;
        Some(piece.to_owned())
    })
}

/// Parts of a list, none where it is empty; each at most `room` bytes, but never less than one entry.
fn lists(entries: Vec<String>, room: usize) -> impl Iterator<Item = Vec<String>> {
    let mut rest = entries.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut bytes = ENTRY + first.len();
        let mut part = vec![first];
        while let Some(next) = rest.next_if(|next| bytes + ENTRY + next.len() <= room) {
            bytes += ENTRY + next.len();
            part.push(next);
        }
        Some(part)
    })
}

/// Appends `more` to `deltas`; where two neighbours say more of the same, they become one.
pub fn join(deltas: &mut Vec<Delta>, more: Vec<Delta>) {
    for delta in more {
        match deltas.last_mut() {
            Some(last) if continues(last, &delta) => {
                last.text.push_str(&delta.text);
                last.reasoning.push_str(&delta.reasoning);
                last.refusal.push_str(&delta.refusal);
                last.logprobs.extend(delta.logprobs);
                last.refusal_logprobs.extend(delta.refusal_logprobs);
                for (call, more) in last.tool_calls.iter_mut().zip(delta.tool_calls) {
                    call.arguments.push_str(&more.arguments);
                }
            }
            _ => deltas.push(delta),
        }
    }
}

/// Whether both say something of one kind and one choice, and nothing else.
fn continues(last: &Delta, next: &Delta) -> bool {
    let plain = |delta: &Delta| {
        delta.finish_reason.is_none() && delta.extra.is_none() && delta.choice_extra.is_none()
    };
    let kinds = |delta: &Delta| {
        [
            !delta.text.is_empty() || !delta.logprobs.is_empty(),
            !delta.reasoning.is_empty(),
            !delta.refusal.is_empty() || !delta.refusal_logprobs.is_empty(),
            !delta.tool_calls.is_empty(),
        ]
    };
    let one_call = match (&last.tool_calls[..], &next.tool_calls[..]) {
        ([], []) => true,
        ([last], [next]) => {
            last.index == next.index
                && last.extra.is_none()
                && [&next.id, &next.kind, &next.name, &next.extra]
                    .into_iter()
                    .all(Option::is_none)
        }
        _ => false,
    };
    let one_kind = kinds(last) == kinds(next) && kinds(last).into_iter().filter(|kind| *kind).count() == 1;
    last.index == next.index && plain(last) && plain(next) && one_kind && one_call
}

#[cfg(test)]
mod tests;
