//! What one choice of an answer says, whole or in pieces, read as loosely as endpoints write. Pure.
//!
//! Unknown fields are carried on as they came. What stands where text is expected and cannot be read is
//! [`Unreadable`]: leaving it out could lose a part of the answer.

use relay_api::completions;
use relay_api::raw::{Object, value};
use relay_schemas::{Delta, ToolCallDelta};
use serde_json::value::RawValue;

use super::end::{End, end};

/// Something of an answer that cannot be understood and may have been text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// What a choice says.
#[derive(Debug, PartialEq, Eq)]
pub struct ChoicePiece {
    /// The content, without its end.
    pub delta: Delta,
    /// A whole message that came with it, or instead.
    pub message: Option<Result<Delta, Unreadable>>,
    /// Its end, if it says one.
    pub end: Option<End>,
}

/// Reads a choice. Its content stands under `delta`, or under `message`; a text completion's is `text`, in the choice itself.
pub fn read(choice: &Object<'_>) -> Result<ChoicePiece, Unreadable> {
    let nothing = Delta {
        index: choice.get("index").and_then(number).unwrap_or(0),
        ..Delta::default()
    };
    let content = |raw: &str| -> Result<Delta, Unreadable> {
        let mut delta = nothing.clone();
        read_content(&Object::parse(raw).map_err(|_| Unreadable)?, &mut delta)?;
        Ok(delta)
    };
    let mut delta = present(choice, "delta").map_or_else(|| Ok(nothing.clone()), content)?;
    let message = present(choice, "message").map(content);
    // Some endpoints say one text under both names.
    if let (true, Some(text)) = (delta.text.is_empty(), present(choice, "text")) {
        delta.text = string(text).ok_or(Unreadable)?;
    }
    let mut extra = rest(
        choice,
        &["index", "delta", "message", "text", "finish_reason", "logprobs"],
    );
    if let Some(logprobs) = present(choice, "logprobs") {
        read_logprobs(logprobs, &mut delta, &mut extra);
    }
    delta.choice_extra = text_of(&extra);
    let end = present(choice, "finish_reason").and_then(|reason| end(&string(reason)?));
    Ok(ChoicePiece { delta, message, end })
}

/// The member, unless it is null.
pub fn present<'a>(object: &'a Object<'_>, name: &str) -> Option<&'a str> {
    object.get(name).filter(|text| *text != "null")
}

/// The text that a JSON string says.
pub fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// A count; endpoints write some as `1.0`.
pub fn number(raw: &str) -> Option<u32> {
    let number: f64 = serde_json::from_str(raw).ok()?;
    (number >= 0.0).then_some(number as u32)
}

/// The members of `object` that are none of `known`, and not null.
pub fn rest<'a>(object: &'a Object<'a>, known: &[&str]) -> Object<'a> {
    object.select(|name, value| !known.contains(&name) && value != "null")
}

/// An object as the records carry it: nothing, if it is empty.
pub fn text_of(object: &Object<'_>) -> Option<String> {
    (!object.is_empty()).then(|| object.to_json())
}

fn read_content(content: &Object<'_>, delta: &mut Delta) -> Result<(), Unreadable> {
    const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];
    let mut known = ["role", "content", "refusal", "tool_calls", "", ""];
    let mut so_many = known.len() - REASONING.len();
    if let Some(text) = present(content, "content") {
        read_parts(text, delta)?;
    }
    if let Some(refusal) = present(content, "refusal") {
        delta.refusal = string(refusal).ok_or(Unreadable)?;
    }
    // Two names for one thing; some endpoints say both.
    for name in REASONING {
        let said = present(content, name).and_then(string);
        if let Some(said) = said.filter(|said| delta.reasoning.is_empty() || delta.reasoning == *said) {
            delta.reasoning = said;
            known[so_many] = name;
            so_many += 1;
        }
    }
    if let Some(calls) = present(content, "tool_calls") {
        let calls: Vec<Object<'_>> = serde_json::from_str(calls).map_err(|_| Unreadable)?;
        delta.tool_calls = calls
            .iter()
            .enumerate()
            .map(|(at, call)| read_call(call, at as u32))
            .collect::<Result<_, _>>()?;
    }
    let mut extra = rest(content, &known[..so_many]);
    if let Some(parts) = delta.extra.take() {
        extra.set("content_parts", value(parts).map_err(|_| Unreadable)?);
    }
    delta.extra = text_of(&extra);
    Ok(())
}

/// Content is a text, or a list of parts: texts, thoughts, and unknown ones, which go on under `content_parts`.
fn read_parts(raw: &str, delta: &mut Delta) -> Result<(), Unreadable> {
    if let Some(text) = string(raw) {
        delta.text.push_str(&text);
        return Ok(());
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| Unreadable)?;
    let mut others = Vec::new();
    for part in parts {
        if let Some(text) = string(part.get()) {
            delta.text.push_str(&text);
            continue;
        }
        let object = Object::parse(part.get()).map_err(|_| Unreadable)?;
        match present(&object, "type").and_then(string).as_deref() {
            Some("text" | "output_text") | None => {
                let text = present(&object, "text").and_then(string);
                delta.text.push_str(&text.ok_or(Unreadable)?);
            }
            Some("thinking" | "reasoning") => delta.reasoning.push_str(&thought(&object)?),
            Some("refusal") => {
                let refusal = present(&object, "refusal").and_then(string);
                delta.refusal.push_str(&refusal.ok_or(Unreadable)?);
            }
            Some(_) => others.push(part),
        }
    }
    if !others.is_empty() {
        delta.extra = serde_json::to_string(&others).ok();
    }
    Ok(())
}

/// A thought is a text, or a list of parts that are texts.
fn thought(part: &Object<'_>) -> Result<String, Unreadable> {
    let said = ["thinking", "reasoning", "text"]
        .into_iter()
        .find_map(|name| present(part, name))
        .ok_or(Unreadable)?;
    let mut inner = Delta::default();
    read_parts(said, &mut inner)?;
    Ok(inner.text)
}

fn read_call(call: &Object<'_>, at: u32) -> Result<ToolCallDelta, Unreadable> {
    let mut extra = rest(call, &["index", "id", "type", "function"]);
    let mut piece = ToolCallDelta {
        index: present(call, "index").and_then(number).unwrap_or(at),
        id: present(call, "id").and_then(string),
        kind: present(call, "type").and_then(string),
        ..ToolCallDelta::default()
    };
    if let Some(function) = present(call, "function") {
        let function = Object::parse(function).map_err(|_| Unreadable)?;
        piece.name = present(&function, "name").and_then(string);
        // A text that holds JSON; some endpoints write the JSON itself.
        let arguments = present(&function, "arguments");
        piece.arguments = arguments
            .map(|raw| string(raw).unwrap_or_else(|| raw.to_owned()))
            .unwrap_or_default();
        if let Some(more) = text_of(&rest(&function, &["name", "arguments"])) {
            extra.set("function", value(more).map_err(|_| Unreadable)?);
        }
    }
    piece.extra = text_of(&extra);
    Ok(piece)
}

/// A chat's are lists of entries; those of a text completion become such. What is neither goes on as it came.
fn read_logprobs<'a>(raw: &'a str, delta: &mut Delta, extra: &mut Object<'a>) {
    let entries = |raw: Option<&str>| {
        let list: Option<Vec<&RawValue>> = raw.map_or(Some(Vec::new()), |raw| serde_json::from_str(raw).ok());
        list.map(|list| {
            list.into_iter()
                .map(|entry| entry.get().to_owned())
                .collect::<Vec<String>>()
        })
    };
    if let Ok(object) = Object::parse(raw)
        && (object.get("content").is_some() || object.get("refusal").is_some())
        && let (Some(content), Some(refusal)) = (
            entries(present(&object, "content")),
            entries(present(&object, "refusal")),
        )
    {
        delta.logprobs = content;
        delta.refusal_logprobs = refusal;
        return;
    }
    delta.logprobs = completions::logprobs::entries(raw);
    if let (true, Ok(raw)) = (delta.logprobs.is_empty(), value(raw.to_owned())) {
        extra.set("logprobs", raw);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn delta(text: &str) -> Result<Delta, Unreadable> {
        let choice = format!("{{\"delta\":{text}}}");
        read(&Object::parse(&choice).unwrap()).map(|said| said.delta)
    }

    #[test]
    fn text_comes_as_a_text_as_parts_or_not_at_all() {
        let cases = [
            ("null", ""),
            ("{}", ""),
            (r#"{"content":null,"role":"assistant"}"#, ""),
            (r#"{"content":"a\n"}"#, "a\n"),
            (r#"{"content":[]}"#, ""),
            (
                r#"{"content":[{"type":"text","text":"a"},"b",{"text":"c"}]}"#,
                "abc",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(delta(text).unwrap(), Delta::text(expected), "{text}");
        }
        for text in [
            r#"{"content":5}"#,
            r#"{"content":[{"type":"text"}]}"#,
            "[]",
            r#"{"content":{"a":1}}"#,
        ] {
            assert_eq!(delta(text), Err(Unreadable), "{text}");
        }
    }

    #[test]
    fn reasoning_has_two_names_and_may_stand_among_the_parts() {
        for text in [
            r#"{"reasoning_content":"hm"}"#,
            r#"{"reasoning":"hm"}"#,
            r#"{"reasoning":"hm","reasoning_content":"hm"}"#,
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#,
        ] {
            let read = delta(text).unwrap();
            assert_eq!((read.reasoning.as_str(), read.extra), ("hm", None), "{text}");
        }
        let other = delta(r#"{"reasoning":{"effort":1}}"#).unwrap();
        assert_eq!(other.extra.as_deref(), Some(r#"{"reasoning":{"effort":1}}"#));
    }

    #[test]
    fn tool_calls_come_with_or_without_an_index_and_their_arguments_as_text_or_as_json() {
        let read = delta(
            r#"{"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":"}},
                {"index":4,"function":{"arguments":{"b": 9007199254740993},"strict":true},"x":1.0}]}"#,
        )
        .unwrap();
        assert_eq!(
            read.tool_calls,
            [
                ToolCallDelta {
                    index: 0,
                    id: Some("c1".to_owned()),
                    kind: Some("function".to_owned()),
                    name: Some("f".to_owned()),
                    arguments: "{\"a\":".to_owned(),
                    extra: None
                },
                ToolCallDelta {
                    index: 4,
                    arguments: "{\"b\": 9007199254740993}".to_owned(),
                    extra: Some(r#"{"x":1.0,"function":{"strict":true}}"#.to_owned()),
                    ..ToolCallDelta::default()
                }
            ]
        );
    }

    #[test]
    fn what_nobody_here_knows_is_carried_on_exactly() {
        let choice = r#"{"index":2,"delta":{"content":"a","audio":{"id":1e400},"nothing":null,
            "content_of_theirs":[9007199254740993]},"stop_reason":128001,"matched":null}"#;
        let said = read(&Object::parse(choice).unwrap()).unwrap();
        assert_eq!(said.delta.index, 2);
        assert_eq!(
            said.delta.extra.as_deref(),
            Some(r#"{"audio":{"id":1e400},"content_of_theirs":[9007199254740993]}"#)
        );
        assert_eq!(
            said.delta.choice_extra.as_deref(),
            Some(r#"{"stop_reason":128001}"#)
        );
        let image = delta(r#"{"content":[{"type":"image","url":"u"},{"type":"text","text":"a"}]}"#).unwrap();
        assert_eq!(image.text, "a");
        assert_eq!(
            image.extra.as_deref(),
            Some(r#"{"content_parts":[{"type":"image","url":"u"}]}"#)
        );
    }

    #[test]
    fn logprobs_are_entries_whichever_operation_wrote_them() {
        let choice = r#"{"delta":{},"logprobs":{"content":[{"token":"a","logprob":-0.10},{"token":"b"}],"refusal":null}}"#;
        let said = read(&Object::parse(choice).unwrap()).unwrap();
        assert_eq!(
            said.delta.logprobs,
            [r#"{"token":"a","logprob":-0.10}"#, r#"{"token":"b"}"#]
        );
        let choice = r#"{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-0.10]}}"#;
        let said = read(&Object::parse(choice).unwrap()).unwrap();
        assert_eq!(said.delta.text, "a");
        assert_eq!(said.delta.logprobs, [r#"{"token":"a","logprob":-0.10}"#]);
        assert_eq!(said.delta.choice_extra, None);
        let other = r#"{"text":"a","logprobs":{"theirs":[-0.10]}}"#;
        let said = read(&Object::parse(other).unwrap()).unwrap();
        assert_eq!(
            said.delta.choice_extra.as_deref(),
            Some(r#"{"logprobs":{"theirs":[-0.10]}}"#)
        );
    }

    #[test]
    fn a_text_that_stands_under_both_names_is_said_once() {
        let choice = r#"{"delta":{"content":"a"},"text":"a"}"#;
        let said = read(&Object::parse(choice).unwrap()).unwrap();
        assert_eq!(said.delta.text, "a");
    }
}
