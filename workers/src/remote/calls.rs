//! The tool calls of a choice, told apart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::ToolCallDelta;

use super::arguments::Arguments;

/// Calls of one choice that are taken: what comes at once is acted on at once, and each is looked for among those before.
const MOST_CALLS: usize = 8_192;

/// The calls of one choice, as they come.
#[derive(Debug, Default)]
pub struct Calls {
    /// By the index under which they go on.
    calls: BTreeMap<u32, Call>,
    /// The index of the call that a piece without an id continues, by the endpoint's index.
    current: BTreeMap<u32, u32>,
}

/// What tells a tool call from others.
#[derive(Debug, Default)]
struct Call {
    id: Option<String>,
    name: Option<String>,
    /// How far its arguments have come.
    arguments: Arguments,
}

impl Calls {
    /// Gives the pieces of one list the indexes under which they go on. Nothing, where there are too many.
    pub fn take_list(&mut self, pieces: &mut [ToolCallDelta]) -> Option<()> {
        let mut named = BTreeSet::new();
        for piece in pieces {
            piece.index = self.take(piece, &named)?;
            if piece.name.as_ref().is_some_and(|name| !name.is_empty()) {
                named.insert(piece.index);
            }
        }
        Some(())
    }

    /// The index under which a piece of a call goes on. Some endpoints say the same index, or none, for several calls: a new
    /// id under a known index is a new call. Without an id so is another name once arguments have come, the same name with more
    /// arguments once those before are whole, and any name where the piece's own list has `named` the call before.
    fn take(&mut self, piece: &ToolCallDelta, named: &BTreeSet<u32>) -> Option<u32> {
        let said = |word: &Option<String>| word.clone().filter(|word| !word.is_empty());
        let (id, name) = (said(&piece.id), said(&piece.name));
        let current = self.current.get(&piece.index).copied();
        if let Some((current, known)) = current.and_then(|at| Some((at, self.calls.get_mut(&at)?))) {
            let differ = |known: &Option<String>, said: &Option<String>| {
                known.is_some() && said.is_some() && known != said
            };
            let more = name.is_some() && !piece.arguments.is_empty();
            let is_other = id.is_none()
                && (known.arguments.have_begun() && differ(&known.name, &name)
                    || known.arguments.are_whole() && more
                    || name.is_some() && named.contains(&current));
            if !is_other && !differ(&known.id, &id) {
                known.id = known.id.take().or(id);
                known.name = known.name.take().or(name);
                known.arguments.take(&piece.arguments);
                return Some(current);
            }
        }
        if self.calls.len() == MOST_CALLS {
            return None;
        }
        let free = self
            .calls
            .keys()
            .next_back()
            .map_or(0, |most| most.saturating_add(1));
        let next = if self.calls.contains_key(&piece.index) {
            free
        } else {
            piece.index
        };
        let mut call = Call {
            id,
            name,
            arguments: Arguments::default(),
        };
        call.arguments.take(&piece.arguments);
        self.calls.insert(next, call);
        self.current.insert(piece.index, next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_under_one_index_are_told_apart_by_their_ids() {
        let mut calls = Calls::default();
        let pieces = [
            (0, Some("a"), 0),
            (0, None, 0),
            (0, Some(""), 0),
            (0, Some("b"), 1),
            (0, None, 1),
            (3, Some("c"), 3),
            (0, Some("d"), 4),
            (3, None, 3),
        ];
        for (index, id, expected) in pieces {
            let piece = ToolCallDelta {
                index,
                id: id.map(str::to_owned),
                ..ToolCallDelta::default()
            };
            assert_eq!(
                calls.take(&piece, &BTreeSet::new()),
                Some(expected),
                "{index} {id:?}"
            );
        }
    }

    /// Pieces without ids, each by name and arguments, belong to the calls whose places stand behind them.
    fn assert_calls(pieces: &[(&str, &str, u32)]) {
        let mut calls = Calls::default();
        for (name, arguments, expected) in pieces {
            let piece = ToolCallDelta {
                name: Some((*name).to_owned()),
                arguments: (*arguments).to_owned(),
                ..ToolCallDelta::default()
            };
            assert_eq!(
                calls.take(&piece, &BTreeSet::new()),
                Some(*expected),
                "{name} {arguments}"
            );
        }
    }

    #[test]
    fn calls_without_ids_are_told_apart_by_their_names() {
        let pieces = [
            ("f", "", 0),
            ("f", "{", 0),
            ("", "}", 0),
            ("f", "", 0),
            ("g", "{}", 1),
            ("", "", 1),
        ];
        assert_calls(&pieces);
    }

    #[test]
    fn two_calls_of_one_function_without_ids_are_two_calls() {
        let pieces = [
            ("f", "{\"a\":\"}", 0),
            ("f", "{\"}", 0),
            ("f", "", 0),
            ("f", "{\"a\":2", 1),
            ("", "}", 1),
            ("f", "{}", 2),
        ];
        assert_calls(&pieces);
    }

    #[test]
    fn more_calls_than_any_answer_makes_are_not_taken() {
        let mut calls = Calls::default();
        let piece = |index| ToolCallDelta {
            index,
            ..ToolCallDelta::default()
        };
        let most = MOST_CALLS as u32;
        assert!((0..most).all(|index| calls.take(&piece(index), &BTreeSet::new()) == Some(index)));
        assert_eq!(calls.take(&piece(most), &BTreeSet::new()), None);
        assert_eq!(calls.take(&piece(7), &BTreeSet::new()), Some(7));
    }
}
