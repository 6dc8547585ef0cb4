//! What one event of a stream, or one whole body, says. Pure.

use relay_api::json::{DEEPEST, is_deeper_than};
use relay_api::raw::Object;
use relay_schemas::FinishReason;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::choice::{self, present, string};
use super::end::End;
use super::error::UpstreamError;
use super::vectors;

/// What an event turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// A part of the answer.
    Part,
    /// The end of the stream: `[DONE]`.
    Done,
    /// Nothing that is known here, and nothing that could be text.
    Foreign,
    /// A choice of it was not asked for; the others were taken.
    Beyond,
    /// It cannot be understood, and may have been text.
    Unreadable,
    /// It is nested deeper than [`DEEPEST`] levels: nothing of it was read.
    Deep,
    /// The endpoint says that it failed.
    Failed(UpstreamError),
}

/// Takes the data of one event.
pub fn chunk(data: &str, answer: &mut Answer) -> Chunk {
    match data.trim() {
        "[DONE]" => Chunk::Done,
        "" => Chunk::Part,
        data => take(data, answer, true),
    }
}

/// Takes a whole body: an answer that does not come as a stream.
pub fn whole(body: &[u8], answer: &mut Answer) -> Chunk {
    let Ok(text) = std::str::from_utf8(body) else {
        return Chunk::Unreadable;
    };
    let said = take(text.trim_start_matches('\u{FEFF}'), answer, false);
    answer.estimate();
    match said {
        Chunk::Foreign => Chunk::Unreadable,
        said => said,
    }
}

fn take(text: &str, answer: &mut Answer, in_pieces: bool) -> Chunk {
    // A raw value is read without a bound of its parser's.
    if is_deeper_than(text, DEEPEST) {
        return Chunk::Deep;
    }
    let Ok(top) = Object::parse(text) else {
        return no_object(text);
    };
    if let Some(error) = UpstreamError::said(&top) {
        return Chunk::Failed(error);
    }
    let known = ["choices", "data", "usage"]
        .iter()
        .any(|name| top.get(name).is_some());
    if !known {
        return Chunk::Foreign;
    }
    answer.take_top(&top);
    if let (None, Some(data)) = (top.get("choices"), present(&top, "data")) {
        return match vectors::read(data) {
            Some(vectors) => {
                answer.take_vectors(vectors);
                Chunk::Part
            }
            None => Chunk::Unreadable,
        };
    }
    let Some(choices) = present(&top, "choices") else {
        return Chunk::Part;
    };
    let Ok(choices) = serde_json::from_str::<Vec<Object<'_>>>(choices) else {
        return Chunk::Unreadable;
    };
    let mut beyond = false;
    for choice in &choices {
        let Ok(mut said) = choice::read(choice) else {
            return Chunk::Unreadable;
        };
        if !answer.is_asked_for(said.delta.index) {
            beyond = true;
            continue;
        }
        // What came as a whole has come to its end, also where it does not say why.
        let says = |name: &&str| present(choice, name).is_some();
        if !in_pieces && said.end.is_none() && ["message", "delta", "text"].iter().any(says) {
            said.end = Some(End::Because(FinishReason::Stop));
        }
        if answer.take_choice(said).is_err() {
            return Chunk::Unreadable;
        }
    }
    if beyond { Chunk::Beyond } else { Chunk::Part }
}

/// What is no object: an error in a list of one, or perhaps text. Nothing, numbers and empty lists say nothing.
fn no_object(text: &str) -> Chunk {
    let list: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
    let first = list.as_ref().and_then(|list| list.first());
    let error = first.and_then(|first| UpstreamError::said(&Object::parse(first.get()).ok()?));
    let says_nothing = list.is_some_and(|list| list.is_empty())
        || matches!(text, "null" | "true" | "false")
        || serde_json::from_str::<f64>(text).is_ok();
    match error {
        Some(error) => Chunk::Failed(error),
        None if says_nothing => Chunk::Foreign,
        None => Chunk::Unreadable,
    }
}

impl UpstreamError {
    /// The error that an object tells, if it tells one: `{"error": …}`, or an error without that wrapper.
    fn said(object: &Object<'_>) -> Option<Self> {
        // Some say with every answer that there is none.
        let none = |error: &&str| {
            matches!(*error, "\"\"" | "false") || Object::parse(error).is_ok_and(|error| error.is_empty())
        };
        if let Some(error) = present(object, "error").filter(|error| !none(error)) {
            return Some(Self::read(error));
        }
        if object.get("choices").is_some() || object.get("data").is_some() {
            return None;
        }
        let says = |name: &str| present(object, name).is_some();
        let named = present(object, "object").and_then(string);
        let named = named.or_else(|| present(object, "type").and_then(string));
        let is_error = named.is_some_and(|named| named == "error")
            || says("detail")
            || (says("message") && ["code", "type", "status", "status_code"].into_iter().any(says));
        is_error.then(|| Self::of(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::usage;
    use crate::dropped::Dropped;

    fn taken(events: &[&str]) -> (Answer, Vec<Chunk>) {
        let mut answer = Answer::of(1);
        let said = events.iter().map(|data| chunk(data, &mut answer)).collect();
        (answer, said)
    }

    fn text(answer: &Answer) -> String {
        answer.deltas.iter().map(|delta| delta.text.as_str()).collect()
    }

    #[test]
    fn chunks_make_an_answer() {
        let (answer, said) = taken(&[
            r#"{"id":"x","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a\n"}}],"usage":null,"system_fingerprint":"fp"}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}},"error":null}"#,
            "[DONE]",
        ]);
        assert_eq!(
            said,
            [Chunk::Part, Chunk::Part, Chunk::Part, Chunk::Part, Chunk::Done]
        );
        assert_eq!((text(&answer).as_str(), answer.tokens), ("a\nb", 2));
        assert_eq!(
            answer.deltas.last().and_then(|delta| delta.finish_reason),
            Some(FinishReason::Stop)
        );
        assert!(answer.has_all());
        let (finished, _) = answer.finished(Dropped::default(), &[]);
        assert_eq!(finished.usage, Some(usage(3, 2)));
        assert_eq!(
            finished.usage_details.as_deref(),
            Some(r#"{"prompt_tokens_details":{"cached_tokens":1}}"#)
        );
        assert_eq!(finished.extra.as_deref(), Some(r#"{"system_fingerprint":"fp"}"#));
        assert_eq!(finished.model_version.as_deref(), Some("m-1"));
    }

    #[test]
    fn loose_chunks_lose_nothing() {
        let (answer, said) = taken(&[
            "",
            r#"{"choices":null,"usage":{}}"#,
            r#"{"choices":[{"delta":null,"finish_reason":""}]}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]},"finish_reason":"null"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ab"},"finish_reason":"stop"}]}"#,
        ]);
        assert!(said.iter().all(|chunk| *chunk == Chunk::Part), "{said:?}");
        assert_eq!(
            text(&answer),
            "ab",
            "a message behind its pieces is no further piece"
        );
        assert!(answer.is_complete());
    }

    #[test]
    fn what_is_no_chunk_is_passed_over_only_where_it_cannot_be_text() {
        let cases = [
            (r#"{"type":"ping"}"#, Chunk::Foreign),
            ("{}", Chunk::Foreign),
            ("null", Chunk::Foreign),
            ("[]", Chunk::Foreign),
            ("7", Chunk::Foreign),
            (r#""text""#, Chunk::Unreadable),
            (r#"["text"]"#, Chunk::Unreadable),
            ("<html>", Chunk::Unreadable),
            (r#"{"choices":[{"delta":{"content":"cut"#, Chunk::Unreadable),
            (r#"{"choices":"none"}"#, Chunk::Unreadable),
            (r#"{"choices":[{"delta":{"content":5}}]}"#, Chunk::Unreadable),
        ];
        for (data, expected) in cases {
            assert_eq!(chunk(data, &mut Answer::of(1)), expected, "{data}");
        }
    }

    #[test]
    fn text_is_seen_under_message_in_a_stream_and_under_delta_in_a_body() {
        let streams: [&[&str]; 3] = [
            &[
                r#"{"choices":[{"index":0,"message":{"content":"hel"},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"message":{"content":"lo"},"finish_reason":"stop"}]}"#,
            ],
            &[r#"{"choices":[{"index":0,"delta":{},"message":{"content":"hello"},"finish_reason":"stop"}]}"#],
            &[
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"message":{"content":"hello"},"finish_reason":"stop"}]}"#,
            ],
        ];
        for events in streams {
            let (answer, _) = taken(events);
            assert_eq!(text(&answer), "hello", "{events:?}");
            assert!(answer.is_complete());
        }
        for body in [
            r#"{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"hello"},"message":{"content":"hello"}}]}"#,
        ] {
            let mut answer = Answer::of(1);
            assert_eq!(whole(body.as_bytes(), &mut answer), Chunk::Part);
            assert_eq!(text(&answer), "hello", "{body}");
            assert!(answer.has_all());
        }
    }

    #[test]
    fn choices_that_were_not_asked_for_are_passed_over() {
        let choice =
            |index: u32| format!("{{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"a\"}}}}]}}");
        let mut answer = Answer::of(2);
        for (index, expected) in [(u32::MAX, Chunk::Beyond), (2, Chunk::Beyond), (1, Chunk::Part)] {
            assert_eq!(chunk(&choice(index), &mut answer), expected, "{index}");
        }
        assert_eq!(text(&answer), "a");
        assert_eq!(answer.counts(), (1, 2));
    }

    #[test]
    fn what_is_nested_deeper_than_anything_of_an_answer_is_not_read() {
        let nested =
            |levels: usize, open: &str, close: &str| open.repeat(levels) + "\"a\"" + &close.repeat(levels);
        let delta =
            |value: &str| format!("{{\"choices\":[{{\"delta\":{{\"content\":\"a\",\"x\":{value}}}}}]}}");
        assert_eq!(
            chunk(&delta(&nested(DEEPEST - 4, "[", "]")), &mut Answer::of(1)),
            Chunk::Part
        );
        let thoughts = nested(140_000, "[{\"type\":\"thinking\",\"thinking\":", "}]");
        let bodies = [
            delta(&nested(DEEPEST - 3, "[", "]")),
            delta(&nested(8_000, "{\"a\":", "}")),
            nested(400_000, "[", "]"),
            format!("{{\"choices\":[{{\"delta\":{{\"content\":{thoughts}}}}}]}}"),
        ];
        for body in bodies {
            assert_eq!(chunk(&body, &mut Answer::of(1)), Chunk::Deep);
            assert_eq!(whole(body.as_bytes(), &mut Answer::of(1)), Chunk::Deep);
        }
    }

    #[test]
    fn errors_are_seen_with_and_without_their_wrapper() {
        for data in [
            r#"{"error":{"message":"m","type":"server_error"}}"#,
            r#"{"error":"m"}"#,
            r#"{"message":"m","type":"server_error","code":500}"#,
            r#"{"object":"error","message":"m"}"#,
            r#"{"detail":"m"}"#,
            r#"[{"error":{"message":"m"}}]"#,
            r#"{"choices":[],"error":{"message":"m"}}"#,
        ] {
            let said = chunk(data, &mut Answer::of(1));
            assert!(matches!(said, Chunk::Failed(_)), "{data}: {said:?}");
        }
    }

    #[test]
    fn an_error_that_says_nothing_is_none() {
        for error in ["{}", "{ }", "\"\"", "false", "null"] {
            let data = format!("{{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\"error\":{error}}}");
            assert_eq!(chunk(&data, &mut Answer::of(1)), Chunk::Part, "{error}");
        }
    }

    #[test]
    fn a_whole_body_that_gives_no_reason_has_come_to_its_end() {
        let mut answer = Answer::of(1);
        let body = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":null}]}"#;
        assert_eq!(whole(body.as_bytes(), &mut answer), Chunk::Part);
        assert_eq!(answer.deltas[0].finish_reason, Some(FinishReason::Stop));
        assert!(answer.has_all());
    }

    #[test]
    fn a_whole_body_is_an_answer_too() {
        let mut answer = Answer::of(2);
        let body = r#"{"id":"x","object":"chat.completion","model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"finish_reason":"stop","logprobs":null},
            {"index":1,"message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}
        ],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
        assert_eq!(whole(body.as_bytes(), &mut answer), Chunk::Part);
        assert!(answer.has_all());
        assert_eq!(text(&answer), "hi");
        assert_eq!(answer.deltas[1].tool_calls[0].name.as_deref(), Some("f"));
        assert_eq!(whole(b"{}", &mut Answer::of(1)), Chunk::Unreadable);
        assert_eq!(whole(b"\xff", &mut Answer::of(1)), Chunk::Unreadable);
    }
}
