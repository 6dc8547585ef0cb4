//! What is known of an answer while it comes in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use relay_api::raw::Object;
use relay_schemas::{Delta, Embedding, Usage};

use super::beside::Beside;
use super::calls::Calls;
use super::choice::{ChoicePiece, Unreadable, number, present, rest, string};
use super::end::End;
use super::spoken::Spoken;
use crate::backend::{Finished, usage};
use crate::dropped::Dropped;

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
    /// How many choices, or vectors, were asked for.
    asked: u32,
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
    beside: Beside,
    model: Option<String>,
}

#[derive(Debug, Default)]
struct Choice {
    spoken: Spoken,
    ended: bool,
    calls: Calls,
}

impl Answer {
    /// Nothing yet, of an answer of which so many choices, or vectors, were asked for.
    pub fn of(asked: u32) -> Self {
        Self {
            asked,
            ..Self::default()
        }
    }

    /// Takes the top level of a chunk, or of a whole body: all but its choices.
    pub fn take_top(&mut self, top: &Object<'_>) {
        if let Some(counted) = present(top, "usage").and_then(|raw| Object::parse(raw).ok()) {
            self.take_usage(&counted);
        }
        if self.model.is_none() {
            let model = present(top, "model").and_then(string);
            self.model = model.map(|model| model.chars().take(200).collect());
        }
        self.beside.take(&rest(top, &KNOWN));
    }

    /// What the endpoint counted so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
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
        self.beside.take_usage(&rest(counted, &known));
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

    /// Whether a choice of that index was asked for.
    pub fn is_asked_for(&self, index: u32) -> bool {
        index < self.asked
    }

    /// Takes what a choice says.
    pub fn take_choice(&mut self, said: ChoicePiece) -> Result<(), Unreadable> {
        let ChoicePiece {
            mut delta,
            message,
            end,
        } = said;
        let choice = self.choices.entry(delta.index).or_default();
        choice.spoken.take(&mut delta, message)?;
        choice.calls.take_list(&mut delta.tool_calls).ok_or(Unreadable)?;
        let speaks = !(delta.text.is_empty()
            && delta.reasoning.is_empty()
            && delta.refusal.is_empty()
            && delta.tool_calls.is_empty());
        self.tokens += u32::from(speaks);
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
        Ok(())
    }

    /// Whether the endpoint gave a choice up.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether every choice that began has said its end.
    pub fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.ended)
    }

    /// Whether it is complete, and nothing of what was asked for is to come.
    pub fn has_all(&self) -> bool {
        match &self.vectors_of {
            Some(indexes) => indexes.iter().copied().eq(0..self.asked),
            None => self.is_complete() && self.choices.len() >= self.asked as usize,
        }
    }

    /// How many choices came, of how many that were asked for.
    pub fn counts(&self) -> (usize, u32) {
        (self.choices.len(), self.asked)
    }

    /// Whether there are vectors, but not one for each text, or one for something else. Those that came are dropped.
    pub fn lacks_vectors(&mut self) -> bool {
        let lacks = self.vectors_of.is_some() && !self.has_all();
        if lacks {
            self.vectors.clear();
        }
        lacks
    }

    /// The end of the run; choices have said theirs. `dropped`: fields of them that did not fit; `omitted`: those that were not asked.
    /// With all that was dropped.
    pub fn finished(self, dropped: Dropped, omitted: &[&'static str]) -> (Finished, Dropped) {
        let dropped = self.beside.dropped().and(dropped);
        let (usage_details, extra) = self.beside.finish(dropped, omitted);
        let finished = Finished {
            finish_reason: None,
            usage: self.usage,
            usage_details,
            extra,
            model_version: self.model,
        };
        (finished, dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut answer = Answer::of(2);
            let vector = |index: &u32| Embedding {
                index: *index,
                values: vec![1.0],
            };
            answer.take_vectors(indexes.iter().map(vector).collect());
            assert_eq!(answer.has_all(), all, "{indexes:?}");
            assert_eq!(answer.lacks_vectors(), !all, "{indexes:?}");
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
