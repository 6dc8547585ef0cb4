//! The `text_completion` events of a stream.

use std::collections::BTreeMap;

use relay_schemas::{Delta, Final, FinishReason, Operation};

use super::logprobs;
use crate::json::write_string;
use crate::response::{Facts, came_along, head, members, put, says_something, usage};

/// Writes the chunks of one stream.
#[derive(Debug)]
pub struct Chunks {
    /// Everything of a chunk before its `choices`.
    head: String,
    include_usage: bool,
    /// Characters of each choice whose log-probabilities were told.
    offsets: BTreeMap<u32, u64>,
    /// Why choices ended: told at the end of all.
    ends: Vec<Delta>,
}

impl Chunks {
    /// A stream's writer. `include_usage`: a chunk with the usage comes before `[DONE]`.
    pub fn new(facts: Facts<'_>, include_usage: bool) -> Self {
        let mut start = String::with_capacity(160);
        start.push_str("data: ");
        head(&mut start, Operation::Completion, "text_completion", facts);
        Self {
            head: start,
            include_usage,
            offsets: BTreeMap::new(),
            ends: Vec::new(),
        }
    }

    /// Appends the next pieces.
    pub fn deltas(&mut self, out: &mut String, deltas: &[Delta]) {
        let text: usize = deltas.iter().map(|delta| delta.text.len()).sum();
        out.reserve(deltas.len() * (self.head.len() + 128) + text);
        for delta in deltas {
            if let Some(reason) = delta.finish_reason {
                self.ends.push(Delta::finish(delta.index, reason));
            }
            if says_something(delta) {
                self.chunk(out, delta, None, None);
            }
        }
    }

    /// Appends the end of a success: why the choices ended, the usage if wanted, `[DONE]`.
    pub fn end(&mut self, out: &mut String, end: &Final) {
        out.reserve(512);
        let mut ends = std::mem::take(&mut self.ends);
        if ends.is_empty() {
            ends.push(Delta::finish(0, FinishReason::Stop));
        }
        for delta in &ends {
            self.chunk(out, delta, delta.finish_reason, end.extra.as_deref());
        }
        if self.include_usage {
            out.push_str(&self.head);
            out.push_str(r#","choices":[],"usage":"#);
            usage(out, end);
            came_along(out, end.extra.as_deref());
            out.push_str("}\n\n");
        }
        out.push_str("data: [DONE]\n\n");
    }

    fn chunk(&mut self, out: &mut String, delta: &Delta, reason: Option<FinishReason>, top: Option<&str>) {
        out.push_str(&self.head);
        out.push_str(r#","choices":[{"text":"#);
        write_string(out, &delta.text);
        put(out, format_args!(r#","index":{},"logprobs":"#, delta.index));
        let offset = self.offsets.entry(delta.index).or_default();
        *offset = logprobs::write(out, &delta.logprobs, *offset);
        out.push_str(r#","finish_reason":"#);
        match reason {
            Some(reason) => write_string(out, reason.name()),
            None => out.push_str("null"),
        }
        for extra in [&delta.choice_extra, &delta.extra] {
            members(
                out,
                extra.as_deref(),
                &["text", "index", "logprobs", "finish_reason"],
            );
        }
        out.push_str(if self.include_usage {
            r#"}],"usage":null"#
        } else {
            "}]"
        });
        came_along(out, top);
        out.push_str("}\n\n");
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn pieces_come_with_their_index_and_the_end_behind_them() {
        let facts = Facts {
            request_id: "r",
            model: "asked",
            created: 7,
        };
        let mut chunks = Chunks::new(facts, true);
        let piece = |token: &str| Delta {
            index: 1,
            logprobs: vec![format!(r#"{{"token":"{token}","logprob":-0.10}}"#)],
            ..Delta::text(token)
        };
        let last = Delta {
            choice_extra: Some(r#"{"stop_reason":7}"#.to_owned()),
            ..Delta::finish(1, FinishReason::Length)
        };
        let mut events = String::new();
        chunks.deltas(&mut events, &[piece("Hel"), piece("lo"), last]);
        chunks.end(&mut events, &samples::last());
        insta::assert_snapshot!(events);
    }
}
