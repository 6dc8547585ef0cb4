//! The operations: what is accepted of a body, and what of an answer reaches its client, whole and in pieces.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use harness::{Harness, answered, worker};
use relay_bus::topics;
use relay_schemas::{
    Answer, Choice, Delta, Embedding, FinishReason, Message, Operation, Request, ToolCall, ToolCallDelta,
};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// The JSON objects of a stream, which ends with `[DONE]`.
fn events(text: &str) -> Vec<Value> {
    let mut data: Vec<&str> = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.into_iter()
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// An answer in two choices that says all that can be said.
fn rich() -> Answer {
    let text = |text: &str| Some(text.to_owned());
    let first = Message {
        reasoning: text("because"),
        tool_calls: vec![ToolCall {
            id: "call-1".to_owned(),
            kind: "function".to_owned(),
            name: "weather".to_owned(),
            arguments: r#"{"city":"Zürich"}"#.to_owned(),
            extra: None,
        }],
        extra: text(r#"{"reasoning_details":[9007199254740993]}"#),
        ..Message::default()
    };
    let second = Message {
        text: text("Hello"),
        refusal: text("no"),
        logprobs: vec![r#"{"token":"Hello","logprob":-0.10}"#.to_owned()],
        ..Message::default()
    };
    let choice = |index, message, reason| Choice {
        index,
        message,
        finish_reason: Some(reason),
        ..Choice::default()
    };
    Answer {
        choices: vec![
            choice(0, first, FinishReason::ToolCalls),
            choice(1, second, FinishReason::Stop),
        ],
        extra: text(r#"{"system_fingerprint":"fp"}"#),
        ..Answer::default()
    }
}

/// Posts `body`, and answers the request that it becomes.
async fn ask(
    harness: &Harness,
    path: &str,
    body: &str,
    answer: Answer,
) -> (harness::client::Response, Request) {
    tokio::join!(harness.post(path, body), async {
        let request = harness.accepted().await;
        harness.end(&request, 0, &answered(&request, answer)).await;
        request
    })
}

#[tokio::test]
async fn the_request_holds_the_body_as_it_was_sent() {
    let harness = Harness::new().await;
    let body = r#" {"messages": [{"role":"user", "content":"Hi"}],
        "max_completion_tokens": 16.0, "vendor": {"big": 9007199254740993, "huge": 1e400}, "model": "tiny"} "#;
    let (response, request) = ask(&harness, CHAT, body, rich()).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        (request.body.as_str(), request.operation),
        (body, Operation::Chat)
    );
    assert_eq!(request.requested_tokens.map(|tokens| tokens.0), Some(16));

    let other = body.replace("9007199254740993", "9007199254740992");
    let (_, other) = ask(&harness, CHAT, &other, rich()).await;
    assert_ne!(other.request_hash, request.request_hash);
}

#[tokio::test]
async fn tool_calls_choices_reasoning_refusals_and_log_probabilities_reach_the_client() {
    let harness = Harness::new().await;
    let body = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"n":2,"logprobs":true}"#;
    let (response, _) = ask(&harness, CHAT, body, rich()).await;
    let answer = response.json();
    let [first, second] = &answer["choices"].as_array().unwrap()[..] else {
        panic!("two choices: {answer}");
    };
    assert_eq!(first["finish_reason"], "tool_calls");
    assert_eq!(first["message"]["content"], Value::Null);
    assert_eq!(
        first["message"]["tool_calls"][0]["function"],
        json!({"name": "weather", "arguments": r#"{"city":"Zürich"}"#})
    );
    assert_eq!(first["message"]["reasoning_content"], "because");
    assert!(
        response
            .text()
            .contains(r#""reasoning_details":[9007199254740993]"#)
    );
    assert_eq!(second["message"]["content"], "Hello");
    assert_eq!(second["message"]["refusal"], "no");
    assert!(
        response.text().contains(r#""logprob":-0.10"#),
        "as it was written"
    );
    assert_eq!(answer["system_fingerprint"], "fp");
}

#[tokio::test]
async fn tool_calls_are_streamed_piece_by_piece_and_the_record_brings_the_rest() {
    let harness = Harness::new().await;
    let body = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
    let mut open = harness.open(&[], body).await;
    let request = harness.accepted().await;
    let call = |id: Option<&str>, arguments: &str| Delta {
        tool_calls: vec![ToolCallDelta {
            id: id.map(str::to_owned),
            kind: id.map(|_| "function".to_owned()),
            name: id.map(|_| "weather".to_owned()),
            arguments: arguments.to_owned(),
            ..ToolCallDelta::default()
        }],
        ..Delta::default()
    };
    let run = worker(1);
    let reasoning = Delta {
        reasoning: "because".to_owned(),
        ..Delta::default()
    };
    harness.show(&request, &run, 0, vec![reasoning], None).await;
    open.until("because").await;
    let begun = vec![call(Some("call-1"), r#"{"city""#)];
    harness.show(&request, &run, 1, begun, None).await;
    open.until("call-1").await;
    harness.end(&request, 2, &answered(&request, rich())).await;
    let events = events(&open.rest().await.text());

    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0]["role"], "assistant");
    let arguments: String = deltas
        .iter()
        .filter_map(|delta| delta["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, r#"{"city":"Zürich"}"#);
    assert!(deltas.iter().any(|delta| delta["refusal"] == "no"), "{events:?}");
    let reasons: Vec<(u64, &str)> = events
        .iter()
        .flat_map(|event| event["choices"].as_array().unwrap())
        .filter_map(|choice| Some((choice["index"].as_u64()?, choice["finish_reason"].as_str()?)))
        .collect();
    assert_eq!(reasons, [(0, "tool_calls"), (1, "stop")]);
}

#[tokio::test]
async fn a_completion_is_answered_in_one_piece_and_in_pieces() {
    let harness = Harness::new().await;
    let body = r#"{"model":"tiny","prompt":"Once","max_tokens":5}"#;
    let (response, request) = ask(
        &harness,
        "/v1/completions",
        body,
        relay_schemas::samples::answer("upon"),
    )
    .await;
    assert_eq!(
        (request.operation, request.body.as_str()),
        (Operation::Completion, body)
    );
    let answer = response.json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["text"], "upon");

    let body = r#"{"model":"tiny","prompt":"Once","stream":true}"#;
    let (response, _) = ask(
        &harness,
        "/v1/completions",
        body,
        relay_schemas::samples::answer("upon"),
    )
    .await;
    let events = events(&response.text());
    assert_eq!(events[0]["choices"][0]["text"], "upon");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    let durations = r#"llm_gateway_request_duration_seconds_count{endpoint="/v1/completions"}"#;
    assert_eq!(harness.metric(durations).await, Some(2.0));
}

#[tokio::test]
async fn embeddings_are_answered_in_the_encoding_that_was_asked_for() {
    let harness = Harness::new().await;
    let vectors = || Answer {
        embeddings: vec![Embedding {
            index: 0,
            values: vec![0.5, -1.5],
        }],
        ..Answer::default()
    };
    let body = r#"{"model":"mini","input":["a"]}"#;
    let (response, request) = ask(&harness, "/v1/embeddings", body, vectors()).await;
    assert_eq!((request.operation, request.stream), (Operation::Embedding, false));
    assert_eq!(response.json()["data"][0]["embedding"], json!([0.5, -1.5]));
    let body = r#"{"model":"mini","input":["a"],"encoding_format":"base64"}"#;
    let (response, _) = ask(&harness, "/v1/embeddings", body, vectors()).await;
    assert_eq!(response.json()["data"][0]["embedding"], "AAAAPwAAwL8=");
}

#[tokio::test]
async fn one_key_is_one_operation() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let key = [("idempotency-key", "k")];
    let body = r#"{"model":"tiny","prompt":"Hi","messages":[{"role":"user","content":"Hi"}],"input":"Hi"}"#;
    let mut hashes = Vec::new();
    let _open = harness.open(&key, body).await;
    hashes.push(harness.accepted().await.request_hash);
    for path in ["/v1/completions", "/v1/embeddings"] {
        let response = harness::client::send(harness.address, "POST", path, &key, body.as_bytes()).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (409, "idempotency_key_reused"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn everything_that_travels_in_the_envelope_has_a_bound_at_the_door() {
    let harness = Harness::new().await;
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]});
        body[name] = value;
        body
    };
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "properties": deep });
    }
    let cases = [
        ("stop[0]", with("stop", json!(vec!["x".repeat(240_000); 4]))),
        ("model", with("model", json!("m".repeat(10_000)))),
        ("user", with("user", json!("u".repeat(10_000)))),
        ("metadata", with("metadata", json!({"k": "v".repeat(10_000)}))),
        ("n", with("n", json!(1_000_000))),
        ("tools", with("tools", json!(vec![tool("f"); 1_000]))),
        (
            "tools[0].function.name",
            with("tools", json!([tool(&"f".repeat(10_000))])),
        ),
        ("", with("response_format", deep)),
    ];
    for (param, body) in cases {
        let response = harness.post(CHAT, &body.to_string()).await;
        assert_eq!(response.status, 400, "{param}: {}", response.text());
        let found = response.json()["error"]["param"].clone();
        assert_eq!(found.as_str().unwrap_or_default(), param, "{}", response.text());
    }
    assert!(harness.nothing_taken(topics::REQUESTS));
}
