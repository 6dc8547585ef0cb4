//! What is known of an answer while it comes in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use relay_api::raw::{Object, value};
use relay_schemas::{Delta, Embedding, ToolCallDelta, Usage};

use super::arguments::Arguments;
use super::choice::{End, Said, number, present, rest, string, text_of};
use crate::backend::{Finished, usage};

/// Top-level members that are understood, and `obfuscation`, which is padding.
const KNOWN: [&str; 10] = [
    "id",
    "object",
    "created",
    "choices",
    "data",
    "usage",
    "model",
    "error",
    "timings",
    "obfuscation",
];

/// Bytes of a token, about.
const BYTES_A_TOKEN: usize = 4;

/// An answer, as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    /// What came since it was last taken.
    pub deltas: Vec<Delta>,
    /// Vectors that came since they were last taken.
    pub vectors: Vec<Embedding>,
    /// Tokens that came since then; a piece is one, as far as can be known from here.
    pub tokens: u32,
    choices: BTreeMap<u32, Choice>,
    /// The indexes of all that have come.
    vectors_of: Option<BTreeSet<u32>>,
    /// A choice was given up by the endpoint.
    failed: bool,
    usage: Option<Usage>,
    usage_details: Option<String>,
    extra: Object<'static>,
    model: Option<String>,
}

#[derive(Debug, Default)]
struct Choice {
    /// Something of it has come.
    begun: bool,
    ended: bool,
    /// Its tool calls, by the index under which they go on.
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

impl Answer {
    /// Takes the top level of a chunk, or of a whole body: all but its choices.
    pub fn take_top(&mut self, top: &Object<'_>) {
        if let Some(counted) = present(top, "usage").and_then(|raw| Object::parse(raw).ok()) {
            self.take_usage(&counted);
        }
        if self.model.is_none() {
            let model = present(top, "model").and_then(string);
            self.model = model.map(|model| model.chars().take(200).collect());
        }
        for (name, raw) in rest(top, &KNOWN).iter() {
            if let Ok(raw) = value(raw.to_owned()) {
                self.extra.set(name.to_owned(), raw);
            }
        }
    }

    fn take_usage(&mut self, counted: &Object<'_>) {
        const PROMPT: [&str; 2] = ["prompt_tokens", "input_tokens"];
        const COMPLETION: [&str; 2] = ["completion_tokens", "output_tokens"];
        let count = |names: [&str; 2]| names.iter().find_map(|name| number(present(counted, name)?));
        let (prompt, completion) = (count(PROMPT), count(COMPLETION));
        // Some count nothing in every chunk but the last.
        let nothing = prompt.unwrap_or(0) == 0 && completion.unwrap_or(0) == 0;
        let (Some(prompt), false) = (prompt, nothing) else {
            return;
        };
        self.usage = Some(usage(prompt, completion.unwrap_or(0)));
        let known = [PROMPT[0], PROMPT[1], COMPLETION[0], COMPLETION[1], "total_tokens"];
        self.usage_details = text_of(&rest(counted, &known));
    }

    /// Takes vectors.
    pub fn take_vectors(&mut self, vectors: Vec<Embedding>) {
        let indexes = vectors.iter().map(|vector| vector.index);
        self.vectors_of.get_or_insert_default().extend(indexes);
        self.vectors.extend(vectors);
    }

    /// Text that came as a whole is more than one token, and where the endpoint did not count, that is estimated.
    pub fn estimate(&mut self) {
        let text = |delta: &Delta| delta.text.len() + delta.reasoning.len() + delta.refusal.len();
        let calls = |delta: &Delta| {
            delta
                .tool_calls
                .iter()
                .map(|call| call.arguments.len())
                .sum::<usize>()
        };
        let bytes: usize = self.deltas.iter().map(|delta| text(delta) + calls(delta)).sum();
        self.tokens = self
            .tokens
            .max(u32::try_from(bytes / BYTES_A_TOKEN).unwrap_or(u32::MAX));
    }

    /// Takes what a choice says.
    pub fn take_choice(&mut self, said: Said) {
        let Said { mut delta, end } = said;
        let choice = self.choices.entry(delta.index).or_default();
        for call in &mut delta.tool_calls {
            call.index = choice.call(call);
        }
        let speaks = !(delta.text.is_empty()
            && delta.reasoning.is_empty()
            && delta.refusal.is_empty()
            && delta.tool_calls.is_empty());
        if speaks {
            choice.begun = true;
            self.tokens += 1;
        }
        match end {
            Some(End::Because(reason)) => {
                choice.ended = true;
                delta.finish_reason = Some(reason);
            }
            Some(End::Failed) => self.failed = true,
            None => {}
        }
        if !delta.is_empty() {
            self.deltas.push(delta);
        }
    }

    /// Whether anything of that choice's content has come.
    pub fn has_begun(&self, index: u32) -> bool {
        self.choices.get(&index).is_some_and(|choice| choice.begun)
    }

    /// Whether the endpoint gave a choice up.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether every choice that began has said its end.
    pub fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.ended)
    }

    /// Whether it is complete, and nothing of the `asked` choices, or vectors, is to come.
    pub fn has_all(&self, asked: u32) -> bool {
        match &self.vectors_of {
            Some(indexes) => indexes.iter().copied().eq(0..asked),
            None => self.is_complete() && self.choices.len() >= asked as usize,
        }
    }

    /// Whether there are vectors, but not one for each of the `asked`, or one for something else. Those that came are dropped.
    pub fn lacks_vectors(&mut self, asked: u32) -> bool {
        let lacks = self.vectors_of.is_some() && !self.has_all(asked);
        if lacks {
            self.vectors.clear();
        }
        lacks
    }

    /// The end of the run; choices have said theirs.
    pub fn finished(self) -> Finished {
        Finished {
            finish_reason: None,
            usage: self.usage,
            usage_details: self.usage_details,
            extra: text_of(&self.extra),
            model_version: self.model,
        }
    }
}

impl Choice {
    /// The index under which a piece of a call goes on. Some endpoints say the same index, or none, for several calls: a new
    /// id under a known index is a new call. Without an id so is another name once arguments have come, and the same name with
    /// more arguments once those before are whole.
    fn call(&mut self, piece: &ToolCallDelta) -> u32 {
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
                    || known.arguments.are_whole() && more);
            if !is_other && !differ(&known.id, &id) {
                known.id = known.id.take().or(id);
                known.name = known.name.take().or(name);
                known.arguments.take(&piece.arguments);
                return current;
            }
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
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_under_one_index_are_told_apart_by_their_ids() {
        let mut choice = Choice::default();
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
            assert_eq!(choice.call(&piece), expected, "{index} {id:?}");
        }
    }

    /// Pieces without ids, each by name and arguments, belong to the calls whose places stand behind them.
    fn assert_calls(pieces: &[(&str, &str, u32)]) {
        let mut choice = Choice::default();
        for (name, arguments, expected) in pieces {
            let piece = ToolCallDelta {
                name: Some((*name).to_owned()),
                arguments: (*arguments).to_owned(),
                ..ToolCallDelta::default()
            };
            assert_eq!(choice.call(&piece), *expected, "{name} {arguments}");
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
    fn vectors_are_all_there_once_there_is_one_for_each_text_and_none_for_another() {
        let cases: [(&[u32], bool); 5] = [
            (&[0, 1], true),
            (&[1, 0], true),
            (&[0], false),
            (&[0, 7], false),
            (&[0, 1, 2], false),
        ];
        for (indexes, all) in cases {
            let mut answer = Answer::default();
            let vector = |index: &u32| Embedding {
                index: *index,
                values: vec![1.0],
            };
            answer.take_vectors(indexes.iter().map(vector).collect());
            assert_eq!(answer.has_all(2), all, "{indexes:?}");
            assert_eq!(answer.lacks_vectors(2), !all, "{indexes:?}");
        }
    }

    #[test]
    fn usage_counts_where_it_says_counts() {
        let cases = [
            (r#"{"usage":null}"#, None),
            (r#"{"usage":{}}"#, None),
            (r#"{"usage":"none"}"#, None),
            (r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#, None),
            (
                r#"{"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
                Some(usage(3, 2)),
            ),
            (
                r#"{"usage":{"input_tokens":3.0,"output_tokens":null}}"#,
                Some(usage(3, 0)),
            ),
        ];
        for (text, expected) in cases {
            let mut answer = Answer::default();
            if let Ok(top) = Object::parse(text) {
                answer.take_top(&top);
            }
            assert_eq!(answer.usage, expected, "{text}");
        }
    }
}
