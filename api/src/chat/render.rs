//! The `chat.completion` object. A fixed part is written once; a text costs one copy.

use relay_schemas::{Choice, Final, FinishReason, Message, Operation, ToolCall};

use crate::json::write_string;
use crate::raw::Object;
use crate::response::{Facts, answer, list, members, optional, put};

/// The answer as one object.
pub fn completion(facts: Facts<'_>, end: &Final, choices: &[Choice]) -> String {
    answer(Operation::Chat, "chat.completion", facts, end, choices, choice)
}

fn choice(out: &mut String, choice: &Choice) {
    put(out, format_args!(r#"{{"index":{},"message":"#, choice.index));
    message(out, &choice.message);
    out.push_str(r#","logprobs":"#);
    logprobs(out, &choice.message.logprobs, &choice.message.refusal_logprobs);
    out.push_str(r#","finish_reason":"#);
    write_string(out, choice.finish_reason.unwrap_or(FinishReason::Stop).name());
    members(
        out,
        choice.extra.as_deref(),
        &["index", "message", "logprobs", "finish_reason"],
    );
    out.push('}');
}

/// Nothing that was said reads as an empty text, unless something else was said instead of one.
fn message(out: &mut String, message: &Message) {
    let instead = !message.tool_calls.is_empty() || message.refusal.is_some() || message.extra.is_some();
    let text = message.text.as_deref().or((!instead).then_some(""));
    out.push_str(r#"{"role":"assistant","content":"#);
    optional(out, text);
    if let Some(reasoning) = &message.reasoning {
        out.push_str(r#","reasoning_content":"#);
        write_string(out, reasoning);
    }
    out.push_str(r#","refusal":"#);
    optional(out, message.refusal.as_deref());
    if !message.tool_calls.is_empty() {
        out.push_str(r#","tool_calls":["#);
        list(out, &message.tool_calls, tool_call);
        out.push(']');
    }
    members(
        out,
        message.extra.as_deref(),
        &["role", "content", "reasoning_content", "refusal", "tool_calls"],
    );
    out.push('}');
}

fn tool_call(out: &mut String, call: &ToolCall) {
    out.push_str(r#"{"id":"#);
    write_string(out, &call.id);
    out.push_str(r#","type":"#);
    write_string(out, kind(&call.kind));
    let more = function_extra(call.extra.as_deref());
    // A call of another kind has members of its own, which came along.
    let is_function = kind(&call.kind) == "function";
    if is_function || !call.name.is_empty() || !call.arguments.is_empty() || more.is_some() {
        out.push_str(r#","function":{"name":"#);
        write_string(out, &call.name);
        out.push_str(r#","arguments":"#);
        write_string(out, &call.arguments);
        members(out, more.as_deref(), &["name", "arguments"]);
        out.push('}');
    }
    members(out, call.extra.as_deref(), &["id", "type", "function"]);
    out.push('}');
}

/// What came along inside a call's `function`, such as the signature of a thought.
pub(super) fn function_extra(call_extra: Option<&str>) -> Option<String> {
    let extra = Object::parse(call_extra?).ok()?;
    extra.get("function").map(str::to_owned)
}

/// An endpoint that names no kind means a function.
pub(super) fn kind(kind: &str) -> &str {
    if kind.is_empty() { "function" } else { kind }
}

/// Writes the log-probabilities of a choice, or null where none are told.
pub(super) fn logprobs(out: &mut String, content: &[String], refusal: &[String]) {
    if content.is_empty() && refusal.is_empty() {
        out.push_str("null");
        return;
    }
    out.push_str(r#"{"content":"#);
    entries(out, content);
    out.push_str(r#","refusal":"#);
    entries(out, refusal);
    out.push('}');
}

fn entries(out: &mut String, entries: &[String]) {
    if entries.is_empty() {
        out.push_str("null");
        return;
    }
    out.push('[');
    list(out, entries, |out, entry| out.push_str(entry));
    out.push(']');
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    const FACTS: Facts<'_> = Facts {
        request_id: "r",
        model: "asked",
        created: 7,
    };

    #[test]
    fn a_text_is_one_choice_with_content() {
        insta::assert_snapshot!(completion(
            FACTS,
            &samples::last(),
            &samples::answer("Hello").choices
        ));
    }

    #[test]
    fn what_came_along_in_a_function_is_told_there_and_a_call_of_another_kind_gains_no_function() {
        let calls = [
            ToolCall {
                name: "f".to_owned(),
                arguments: "{}".to_owned(),
                extra: Some(
                    r#"{"function":{"thought_signature":"s","name":"not this one"},"x":1}"#.to_owned(),
                ),
                ..ToolCall::default()
            },
            ToolCall {
                id: "c".to_owned(),
                kind: "custom".to_owned(),
                extra: Some(r#"{"custom":{"name":"g","input":"1"}}"#.to_owned()),
                ..ToolCall::default()
            },
        ];
        let told = calls.map(|call| {
            let mut told = String::new();
            tool_call(&mut told, &call);
            told
        });
        assert_eq!(
            told,
            [
                r#"{"id":"","type":"function","function":{"name":"f","arguments":"{}","thought_signature":"s"},"x":1}"#,
                r#"{"id":"c","type":"custom","custom":{"name":"g","input":"1"}}"#,
            ]
        );
    }

    #[test]
    fn everything_that_a_message_can_hold_is_told_and_content_is_null_beside_calls() {
        let text = |text: &str| Some(text.to_owned());
        let message = Message {
            reasoning: text("so"),
            tool_calls: vec![ToolCall {
                id: "call-1".to_owned(),
                name: "weather".to_owned(),
                arguments: r#"{"city":"Köln"}"#.to_owned(),
                extra: text(r#"{"x_index":9007199254740993}"#),
                ..ToolCall::default()
            }],
            logprobs: vec![r#"{"token":"a","logprob":-0.10}"#.to_owned()],
            extra: text(r#"{"annotations":[],"content":"not this one"}"#),
            ..Message::default()
        };
        let choices = [
            Choice {
                index: 0,
                message,
                finish_reason: Some(FinishReason::ToolCalls),
                extra: text(r#"{"stop_reason":null}"#),
            },
            Choice {
                index: 1,
                message: Message {
                    refusal: text("no"),
                    ..Message::default()
                },
                finish_reason: Some(FinishReason::ContentFilter),
                extra: None,
            },
        ];
        let end = Final {
            usage_details: text(r#"{"prompt_tokens_details":{"cached_tokens":1}}"#),
            extra: text(r#"{"system_fingerprint":"fp","id":"not this one"}"#),
            ..samples::last()
        };
        let body = completion(FACTS, &end, &choices);
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        insta::assert_snapshot!(body);
    }
}
