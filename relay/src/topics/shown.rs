//! A record as a JSON line. Content is the tenants' and stays out unless it is asked for. Pure.

use relay_bus::topics::{
    BATCH_REQUESTS, BATCH_RESULTS, DEAD_LETTERS, OUTCOMES, PLANNED, POLICIES, REQUESTS, SCHEMAS,
};
use relay_bus::{Record, header};
use relay_schemas::{
    BatchRequest, BatchResult, DeadHeader, DeadLetter, DeadLetterClosing, DecodeError, Outcome, Planned,
    PolicyBody, Ready, Registry, Request, SchemaBody, Work,
};
use serde_json::{Value, json};

use super::bytes;

/// What stands in the place of content.
const LEFT_OUT: &str = "[left out; --content shows it]";

/// One record; `body` is what [`body`] made of it.
pub fn line(record: &Record, body: Result<Value, DecodeError>, content: bool) -> Value {
    let mut body = body.unwrap_or_else(|error| json!({ "undecoded": error.to_string() }));
    if !content {
        without_content(&mut body);
    }
    json!({
        "partition": record.position.partition.partition,
        "offset": record.position.offset,
        "timestamp": record.timestamp,
        "key": record.key.as_deref().map(bytes::shown),
        "body": body,
    })
}

/// What a record of `topic` says, with content.
pub fn body(topic: &str, value: Option<&[u8]>, registry: &Registry) -> Result<Value, DecodeError> {
    macro_rules! body {
        ($type:ty) => {
            registry.decode::<$type>(value).map(|body| json!(body))
        };
    }
    match topic {
        REQUESTS => body!(Request),
        PLANNED => body!(Planned),
        OUTCOMES => body!(Outcome),
        BATCH_REQUESTS => body!(BatchRequest),
        BATCH_RESULTS => body!(BatchResult),
        DEAD_LETTERS => match registry.decode::<DeadLetter>(value) {
            Ok(letter) => Ok(dead_letter(&letter)),
            Err(error) => registry
                .decode::<DeadLetterClosing>(value)
                .map(|closing| json!(closing))
                .map_err(|_| error),
        },
        POLICIES => body!(PolicyBody),
        SCHEMAS => body!(SchemaBody),
        _ if topic.starts_with("relay.ready.") => body!(Ready),
        _ if topic.starts_with("relay.work.") => body!(Work),
        _ => Err(DecodeError::Malformed {
            record: "record that is decoded here",
            reason: format!("of {topic} nothing is known"),
        }),
    }
}

/// A dead letter: its bytes as people read them.
fn dead_letter(letter: &DeadLetter) -> Value {
    let mut shown = json!(letter);
    shown["key"] = json!(letter.key.as_deref().map(bytes::shown));
    shown["value"] = json!(letter.value.as_deref().map(bytes::shown));
    shown["headers"] = headers(&letter.headers);
    shown
}

/// Headers by name.
pub fn headers(found: &[DeadHeader]) -> Value {
    let shown = |DeadHeader { name, value }: &DeadHeader| (name.clone(), bytes::shown(value));
    Value::Object(found.iter().map(shown).collect())
}

/// Puts a note in the place of everything that a tenant, a model or an endpoint said.
pub fn without_content(body: &mut Value) {
    const CONTENT: [&str; 12] = [
        "body",
        "stop",
        "text",
        "reasoning",
        "refusal",
        "tool_calls",
        "logprobs",
        "refusal_logprobs",
        "extra",
        "choice_extra",
        "values",
        "value",
    ];
    match body {
        Value::Object(fields) => {
            // A reason, beside the code that says whose words it is in; the message of a choice is no text.
            let own_words = relay_store::is_in_own_words(fields.get("code").and_then(Value::as_str));
            for (name, value) in fields.iter_mut() {
                if name == "headers" && value.is_object() {
                    without_foreign(value);
                } else if name == "message" && value.is_string() {
                    if !own_words {
                        *value = json!(LEFT_OUT);
                    }
                } else if CONTENT.contains(&name.as_str()) && !value.is_null() {
                    *value = json!(LEFT_OUT);
                } else {
                    without_content(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_content),
        _ => {}
    }
}

/// Headers that are not Relay's may hold anything.
fn without_foreign(headers: &mut Value) {
    for (name, value) in headers.as_object_mut().into_iter().flatten() {
        if !name.starts_with("relay-") && name != header::TRACEPARENT {
            *value = json!(LEFT_OUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_bus::{Headers, Outgoing, Partition, Position};
    use relay_schemas::{
        Choice, Embedding, FinishReason, HandOver, Message, TimestampMs, ToolCall, encode, samples,
    };

    use super::*;

    const CONTENT: &str = "a tenant's words";

    /// An outcome that says [`CONTENT`] wherever a tenant's or a model's words may stand.
    fn talkative() -> Outcome {
        let said = || Some(CONTENT.to_owned());
        let mut outcome = samples::outcome();
        outcome.code = Some("context_length_exceeded".to_owned());
        outcome.message = Some(format!("the endpoint answered with status 400: {CONTENT}"));
        if let Some(request) = outcome.request.as_mut().map(Arc::make_mut) {
            request.body = CONTENT.to_owned();
        }
        if let Some(planning) = outcome.planning.as_mut().map(Arc::make_mut) {
            planning.plan.decoding.stop = vec![CONTENT.to_owned()];
            planning.handovers = vec![HandOver {
                from_pool: "remote".to_owned(),
                to_pool: "local".to_owned(),
                code: "backend_error".to_owned(),
                message: CONTENT.to_owned(),
                attempts: 1,
                handed_over_at: planning.planned_at,
            }];
        }
        let call = ToolCall {
            id: CONTENT.to_owned(),
            kind: "function".to_owned(),
            name: CONTENT.to_owned(),
            arguments: CONTENT.to_owned(),
            extra: said(),
        };
        let message = Message {
            text: said(),
            reasoning: said(),
            refusal: said(),
            tool_calls: vec![call],
            logprobs: vec![CONTENT.to_owned()],
            refusal_logprobs: vec![CONTENT.to_owned()],
            extra: said(),
        };
        if let Some(answer) = outcome.answer.as_mut().map(Arc::make_mut) {
            answer.extra = said();
            answer.embeddings = vec![Embedding {
                index: 0,
                values: vec![0.123_456],
            }];
            answer.choices = vec![Choice {
                index: 0,
                message,
                finish_reason: Some(FinishReason::Stop),
                extra: said(),
            }];
        }
        outcome
    }

    fn shown(outgoing: Outgoing, content: bool) -> String {
        let record = Record {
            position: Position {
                partition: Partition::new(outgoing.topic, 0),
                offset: 7,
            },
            timestamp: TimestampMs(1),
            key: outgoing.key,
            headers: outgoing.headers,
            value: outgoing.value,
        };
        let topic = &record.position.partition.topic;
        let body = body(topic, record.value.as_deref(), &Registry::default());
        line(&record, body, content).to_string()
    }

    #[test]
    fn content_is_left_out_unless_it_is_asked_for() {
        let outcome = || Outgoing::keyed(OUTCOMES, "key", Headers::default(), encode(&talkative()));
        let hidden = shown(outcome(), false);
        assert!(!hidden.contains(CONTENT), "{hidden}");
        assert!(
            !hidden.contains("0.12345"),
            "vectors can be turned back into text"
        );
        assert!(hidden.contains("request-1") && hidden.contains("completed"));
        assert_eq!(shown(outcome(), true).matches(CONTENT).count(), 16);
    }

    #[test]
    fn a_reason_in_words_of_this_gateway_is_no_content() {
        let outcome = Outcome {
            code: Some("deadline_exceeded".to_owned()),
            message: Some("it waited for as long as it may".to_owned()),
            ..samples::outcome()
        };
        let outcome = Outgoing::keyed(OUTCOMES, "key", Headers::default(), encode(&outcome));
        let hidden = shown(outcome, false);
        assert!(hidden.contains("it waited for as long as it may"), "{hidden}");
    }

    #[test]
    fn a_dead_letters_key_and_headers_are_text_and_its_value_is_content() {
        let named = |name: &str, value: &[u8]| DeadHeader {
            name: name.to_owned(),
            value: value.to_vec(),
        };
        let letter = DeadLetter {
            source_topic: OUTCOMES.to_owned(),
            source_partition: 3,
            source_offset: 9,
            group: "relay.trace-sink".to_owned(),
            class: "poison".to_owned(),
            reason: "why".to_owned(),
            attempts: 1,
            headers: vec![
                named("relay-tenant", b"acme"),
                named("x-note", CONTENT.as_bytes()),
            ],
            key: Some(b"request-\xff".to_vec()),
            value: Some(CONTENT.as_bytes().to_vec()),
            at: TimestampMs(1),
        };
        let letter = || Outgoing::keyed(DEAD_LETTERS, "o/3/9", Headers::default(), encode(&letter));
        let hidden = shown(letter(), false);
        assert!(!hidden.contains(CONTENT), "{hidden}");
        for text in [
            r#""relay-tenant":"acme""#,
            r#""key":{"not_utf8":"request-\\xff"}"#,
            r#""key":"o/3/9""#,
        ] {
            assert!(hidden.contains(text), "{text} in {hidden}");
        }
        assert_eq!(shown(letter(), true).matches(CONTENT).count(), 2);
    }
}
