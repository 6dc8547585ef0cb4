//! What a remote model answers reaches the client, the record and the cache whole: through the executable, over HTTP.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::mock::executions;
use serde_json::{Value, json};

struct Client<'a>(&'a Gateway);

impl Client<'_> {
    async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let request = relay_tests::http::client().post(format!("{}/v1/{path}", self.0.base_url));
        let request = request
            .header("content-type", "application/json")
            .header("x-tenant-id", "acme");
        let response = request
            .body(body.to_string())
            .send()
            .await
            .expect("an answer comes");
        assert_eq!(response.status().as_u16(), 200, "{:?}", response.text().await);
        response
    }

    async fn whole(&self, path: &str, body: &Value) -> Value {
        self.post(path, body).await.json().await.expect("it is JSON")
    }

    /// A stream's chunks, without `[DONE]`.
    async fn streamed(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let mut bytes = self.post(path, &body).await.bytes_stream();
        let mut text = String::new();
        while let Some(more) = bytes.next().await {
            text.push_str(std::str::from_utf8(&more.expect("the stream goes on")).expect("it is UTF-8"));
        }
        let events: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        assert_eq!(events.last(), Some(&"[DONE]"), "{text}");
        let chunks = events[..events.len() - 1].iter();
        chunks
            .map(|event| serde_json::from_str(event).expect("a chunk is JSON"))
            .collect()
    }
}

/// What a stream says of each choice: texts by name, arguments of calls by `index`, the reason.
fn joined(chunks: &[Value]) -> BTreeMap<u64, BTreeMap<String, String>> {
    let mut choices: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
    for choice in chunks
        .iter()
        .flat_map(|chunk| chunk["choices"].as_array().into_iter().flatten())
    {
        let said = choices.entry(choice["index"].as_u64().unwrap_or(0)).or_default();
        let mut add = |name: String, text: &Value| {
            if let Some(text) = text.as_str() {
                said.entry(name).or_default().push_str(text);
            }
        };
        for name in ["content", "reasoning_content"] {
            add(name.to_owned(), &choice["delta"][name]);
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            for field in ["name", "arguments"] {
                add(format!("{field} {}", call["index"]), &call["function"][field]);
            }
        }
        add("finish_reason".to_owned(), &choice["finish_reason"]);
    }
    choices
}

fn tool_request() -> Value {
    json!({"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": "look this up"}],
           "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_come_through_whole_in_pieces_and_out_of_the_cache() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let first = client.whole("chat/completions", &tool_request()).await;
    let choice = &first["choices"][0];
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "look_up", "{first}");
    assert_eq!(call["function"]["arguments"], r#"{"words":"look this up look"}"#);
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null, "nothing was said");
    assert_eq!(choice["message"]["mock"]["exact"], 9_007_199_254_740_993_u64);

    let again = client.whole("chat/completions", &tool_request()).await;
    assert_eq!(again["choices"], first["choices"], "the cache holds all of it");
    let chunks = client.streamed("chat/completions", &tool_request()).await;
    let said = &joined(&chunks)[&0];
    assert_eq!(said["arguments 0"], r#"{"words":"look this up look"}"#);
    assert_eq!(
        (said["name 0"].as_str(), said["finish_reason"].as_str()),
        ("look_up", "tool_calls")
    );
    assert_eq!(
        executions(gateway.backend()).await.expect("the mock counts"),
        1,
        "two of three came out of the cache"
    );

    // Another number in a field that nobody here knows is another request.
    let mut other = tool_request();
    other["seed_of_theirs"] = json!(9_007_199_254_740_993_u64);
    Client(&gateway).whole("chat/completions", &other).await;
    other["seed_of_theirs"] = json!(9_007_199_254_740_992_u64);
    Client(&gateway).whole("chat/completions", &other).await;
    assert_eq!(executions(gateway.backend()).await.expect("the mock counts"), 3);
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_choices_logprobs_and_reasoning_come_through_streamed_and_whole() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let request = |content: &str| {
        json!({"model": "mock", "temperature": 0, "n": 2, "logprobs": true, "reasoning_effort": "low",
               "messages": [{"role": "user", "content": content}]})
    };
    let whole = client.whole("chat/completions", &request("a b")).await;
    assert_eq!(whole["system_fingerprint"], "mock", "{whole}");
    for at in 0..2 {
        let choice = &whole["choices"][at];
        assert_eq!(choice["index"], at);
        assert_eq!(choice["message"]["content"], "a b a b");
        assert_eq!(choice["message"]["reasoning_content"], "4 words");
        assert_eq!(choice["logprobs"]["content"][0]["token"], "a", "{choice}");
    }
    let chunks = client.streamed("chat/completions", &request("c d")).await;
    let said = joined(&chunks);
    assert_eq!(said.len(), 2);
    for choice in said.values() {
        assert_eq!(
            (choice["content"].as_str(), choice["reasoning_content"].as_str()),
            ("c d c d", "4 words")
        );
        assert_eq!(choice["finish_reason"], "stop");
    }
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_completions_and_embeddings_come_through() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let request = json!({"model": "mock", "temperature": 0, "prompt": "once upon"});
    let completion = client.whole("completions", &request).await;
    assert_eq!(completion["object"], "text_completion", "{completion}");
    assert_eq!(completion["choices"][0]["text"], "once upon once upon");
    let request = json!({"model": "mock", "input": ["a", "bcd"]});
    let embeddings = client.whole("embeddings", &request).await;
    assert_eq!(
        embeddings["data"][0]["embedding"],
        json!([1, 0.5, -1.25]),
        "{embeddings}"
    );
    assert_eq!(embeddings["data"][1]["embedding"], json!([3, 0.5, -1.25]));
    assert_eq!(embeddings["usage"]["prompt_tokens"], 2);
    gateway.stop().expect("it drains");
}
