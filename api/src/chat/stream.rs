//! The `chat.completion.chunk` events of a stream. Its fixed parts are written once; a piece of text costs one buffer.

use std::collections::BTreeSet;

use relay_schemas::{Delta, Final, FinishReason, Operation, ToolCallDelta};

use super::render::{function_extra, kind, logprobs};
use crate::json::write_string;
use crate::response::{Facts, came_along, head, list, members, put, says_something, usage};

/// Writes the chunks of one stream.
#[derive(Debug)]
pub struct Chunks {
    /// Everything of a chunk before its `choices`.
    head: String,
    include_usage: bool,
    /// Choices whose role was told.
    began: BTreeSet<u32>,
    /// Why choices ended: told at the end of all, with what came along.
    ends: Vec<Delta>,
}

impl Chunks {
    /// A stream's writer. `include_usage`: a chunk with the usage comes before `[DONE]`.
    pub fn new(facts: Facts<'_>, include_usage: bool) -> Self {
        let mut start = String::with_capacity(160);
        start.push_str("data: ");
        head(&mut start, Operation::Chat, "chat.completion.chunk", facts);
        Self {
            head: start,
            include_usage,
            began: BTreeSet::new(),
            ends: Vec::new(),
        }
    }

    /// Appends the next pieces; the first one of a choice brings its role with it.
    pub fn deltas(&mut self, out: &mut String, deltas: &[Delta]) {
        let text: usize = deltas.iter().map(|delta| delta.text.len()).sum();
        out.reserve((deltas.len() + 1) * (self.head.len() + 128) + text);
        for delta in deltas {
            if let Some(reason) = delta.finish_reason {
                self.ends.push(Delta::finish(delta.index, reason));
            }
            if says_something(delta) {
                self.begin(out, delta);
                self.piece(out, delta);
            }
        }
    }

    /// Appends the end of a success: why the choices ended, the usage if wanted, `[DONE]`.
    pub fn end(&mut self, out: &mut String, end: &Final) {
        out.reserve(3 * self.head.len() + 320);
        let mut ends = std::mem::take(&mut self.ends);
        if ends.is_empty() {
            ends.push(Delta::finish(0, FinishReason::Stop));
        }
        for delta in &ends {
            self.begin(out, delta);
            self.open(out, delta.index);
            out.push_str("{}");
            self.close(out, delta, delta.finish_reason, end.extra.as_deref());
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

    fn begin(&mut self, out: &mut String, first: &Delta) {
        if !self.began.insert(first.index) {
            return;
        }
        self.open(out, first.index);
        out.push_str(if first.tool_calls.is_empty() || !first.text.is_empty() {
            r#"{"role":"assistant","content":"","refusal":null}"#
        } else {
            r#"{"role":"assistant","content":null,"refusal":null}"#
        });
        let nothing = Delta {
            index: first.index,
            ..Delta::default()
        };
        self.close(out, &nothing, None, None);
    }

    fn piece(&self, out: &mut String, delta: &Delta) {
        self.open(out, delta.index);
        out.push('{');
        let begin = out.len();
        let member = |out: &mut String, name: &str| {
            if out.len() > begin {
                out.push(',');
            }
            write_string(out, name);
            out.push(':');
        };
        let texts = [
            ("reasoning_content", &delta.reasoning),
            ("content", &delta.text),
            ("refusal", &delta.refusal),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            member(out, name);
            write_string(out, text);
        }
        if !delta.tool_calls.is_empty() {
            member(out, "tool_calls");
            out.push('[');
            list(out, &delta.tool_calls, tool_call);
            out.push(']');
        }
        let mut more = String::new();
        members(
            &mut more,
            delta.extra.as_deref(),
            &["role", "content", "reasoning_content", "refusal", "tool_calls"],
        );
        // The members begin with a comma, which only stands behind others.
        out.push_str(if out.len() > begin {
            &more
        } else {
            more.strip_prefix(',').unwrap_or_default()
        });
        out.push('}');
        self.close(out, delta, None, None);
    }

    fn open(&self, out: &mut String, index: u32) {
        out.push_str(&self.head);
        put(out, format_args!(r#","choices":[{{"index":{index},"delta":"#));
    }

    fn close(&self, out: &mut String, delta: &Delta, reason: Option<FinishReason>, top: Option<&str>) {
        out.push_str(r#","logprobs":"#);
        logprobs(out, &delta.logprobs, &delta.refusal_logprobs);
        out.push_str(r#","finish_reason":"#);
        match reason {
            Some(reason) => write_string(out, reason.name()),
            None => out.push_str("null"),
        }
        members(
            out,
            delta.choice_extra.as_deref(),
            &["index", "delta", "logprobs", "finish_reason"],
        );
        out.push_str(if self.include_usage {
            r#"}],"usage":null"#
        } else {
            "}]"
        });
        came_along(out, top);
        out.push_str("}\n\n");
    }
}

fn tool_call(out: &mut String, call: &ToolCallDelta) {
    put(out, format_args!(r#"{{"index":{}"#, call.index));
    if let Some(id) = &call.id {
        out.push_str(r#","id":"#);
        write_string(out, id);
    }
    if call.kind.is_some() || call.name.is_some() {
        out.push_str(r#","type":"#);
        write_string(out, kind(call.kind.as_deref().unwrap_or_default()));
    }
    let more = function_extra(call.extra.as_deref());
    if more.is_some() || is_of_function(call) {
        out.push_str(r#","function":{"#);
        if let Some(name) = &call.name {
            out.push_str(r#""name":"#);
            write_string(out, name);
            out.push(',');
        }
        out.push_str(r#""arguments":"#);
        write_string(out, &call.arguments);
        members(out, more.as_deref(), &["name", "arguments"]);
        out.push('}');
    }
    members(out, call.extra.as_deref(), &["index", "id", "type", "function"]);
    out.push('}');
}

/// A call of another kind has members of its own, which came along; of its later pieces they are all there is.
fn is_of_function(call: &ToolCallDelta) -> bool {
    let says_so = call.name.is_some() || !call.arguments.is_empty();
    let may_be = match call.kind.as_deref() {
        Some(named) => kind(named) == "function",
        None => call.extra.is_none(),
    };
    says_so || may_be
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;
    use serde_json::value::RawValue;

    use super::*;

    const FACTS: Facts<'_> = Facts {
        request_id: "r",
        model: "asked",
        created: 7,
    };

    fn told(mut chunks: Chunks, deltas: &[Delta], end: &Final) -> String {
        let mut events = String::new();
        chunks.deltas(&mut events, deltas);
        chunks.end(&mut events, end);
        for event in events.split("\n\n").filter(|event| !event.is_empty()) {
            let data = event.strip_prefix("data: ").expect("an event");
            assert!(
                data == "[DONE]" || serde_json::from_str::<&RawValue>(data).is_ok(),
                "{data}"
            );
        }
        events
    }

    #[test]
    fn a_text_comes_behind_its_role_and_before_its_end() {
        let deltas = [
            Delta::text("Hel"),
            Delta {
                finish_reason: Some(FinishReason::Length),
                ..Delta::text("lo")
            },
        ];
        insta::assert_snapshot!(told(Chunks::new(FACTS, false), &deltas, &samples::last()));
    }

    #[test]
    fn calls_choices_reasoning_and_what_came_along_are_told_each_in_its_chunk() {
        let text = |text: &str| Some(text.to_owned());
        let call = |name: Option<&str>, arguments: &str| ToolCallDelta {
            index: 1,
            id: name.map(|name| format!("call-{name}")),
            name: name.map(str::to_owned),
            arguments: arguments.to_owned(),
            ..ToolCallDelta::default()
        };
        let deltas = [
            Delta {
                tool_calls: vec![call(Some("f"), "")],
                ..Delta::default()
            },
            Delta {
                tool_calls: vec![call(None, "{}")],
                ..Delta::default()
            },
            Delta {
                index: 1,
                reasoning: "so".to_owned(),
                extra: text(r#"{"reasoning_details":[1e400]}"#),
                ..Delta::default()
            },
            Delta {
                index: 1,
                logprobs: vec![r#"{"token":"a","logprob":-0.10}"#.to_owned()],
                choice_extra: text(r#"{"stop_reason":7}"#),
                ..Delta::text("a")
            },
            Delta {
                extra: text(r#"{"only":"this"}"#),
                ..Delta::default()
            },
            Delta::finish(0, FinishReason::ToolCalls),
            Delta::finish(1, FinishReason::Stop),
        ];
        let end = Final {
            usage_details: text(r#"{"completion_tokens_details":{"reasoning_tokens":3}}"#),
            extra: text(r#"{"system_fingerprint":"fp"}"#),
            ..samples::last()
        };
        insta::assert_snapshot!(told(Chunks::new(FACTS, true), &deltas, &end));
    }

    #[test]
    fn what_came_along_in_a_function_is_told_there_and_a_call_of_another_kind_gains_no_function() {
        let text = |text: &str| Some(text.to_owned());
        let pieces = [
            ToolCallDelta {
                name: text("f"),
                extra: text(r#"{"function":{"thought_signature":"s"}}"#),
                ..ToolCallDelta::default()
            },
            ToolCallDelta {
                index: 1,
                id: text("c"),
                kind: text("custom"),
                extra: text(r#"{"custom":{"name":"g","input":""}}"#),
                ..ToolCallDelta::default()
            },
            ToolCallDelta {
                index: 1,
                extra: text(r#"{"custom":{"input":"1"}}"#),
                ..ToolCallDelta::default()
            },
        ];
        let told = pieces.map(|piece| {
            let mut told = String::new();
            tool_call(&mut told, &piece);
            told
        });
        assert_eq!(
            told,
            [
                r#"{"index":0,"type":"function","function":{"name":"f","arguments":"","thought_signature":"s"}}"#,
                r#"{"index":1,"id":"c","type":"custom","custom":{"name":"g","input":""}}"#,
                r#"{"index":1,"custom":{"input":"1"}}"#,
            ]
        );
    }

    #[test]
    fn an_answer_that_says_nothing_still_ends() {
        insta::assert_snapshot!(told(Chunks::new(FACTS, false), &[], &samples::last()));
    }
}
