//! What a remote model answers reaches the client, the record and the cache whole: through the executable, over HTTP.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::mock::{executions, newest};
use serde_json::{Value, json};

struct Client<'a>(&'a Gateway);

impl Client<'_> {
    async fn post(&self, path: &str, body: String) -> reqwest::Response {
        let request = relay_tests::http::client().post(format!("{}/v1/{path}", self.0.base_url));
        let request = request
            .header("content-type", "application/json")
            .header("x-tenant-id", "acme");
        let response = request.body(body).send().await.expect("an answer comes");
        assert_eq!(response.status().as_u16(), 200, "{:?}", response.text().await);
        response
    }

    async fn whole(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body.to_string()).await;
        response.json().await.expect("it is JSON")
    }

    /// The chunks of the same, streamed.
    async fn streamed(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        chunks(self.post(path, body.to_string()).await).await
    }
}

/// A stream's chunks, without `[DONE]`.
async fn chunks(response: reqwest::Response) -> Vec<Value> {
    let mut bytes = response.bytes_stream();
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

/// What a stream says of each choice: texts by name, arguments of calls by `index`, tokens with log-probabilities, the reason.
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
        for name in ["content", "reasoning_content", "refusal"] {
            add(name.to_owned(), &choice["delta"][name]);
        }
        add("text".to_owned(), &choice["text"]);
        for entry in choice["logprobs"]["content"].as_array().into_iter().flatten() {
            add("logprobs".to_owned(), &entry["token"]);
        }
        for token in choice["logprobs"]["tokens"].as_array().into_iter().flatten() {
            add("logprobs".to_owned(), token);
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
async fn calls_of_tools_are_streamed_as_the_endpoint_streams_them_and_come_out_of_the_cache_whole() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let mut request = tool_request();
    request["n"] = json!(2);
    let chunks = client.streamed("chat/completions", &request).await;
    let said = joined(&chunks);
    assert_eq!(said.len(), 2, "{chunks:?}");
    for choice in said.values() {
        assert_eq!(choice["name 0"], "look_up");
        assert_eq!(choice["arguments 0"], r#"{"words":"look this up look"}"#);
        assert_eq!(choice["finish_reason"], "tool_calls");
    }
    let whole = client.whole("chat/completions", &request).await;
    for at in 0..2 {
        let call = &whole["choices"][at]["message"]["tool_calls"][0];
        assert_eq!(call["id"], format!("call_{at}"), "{whole}");
        assert_eq!(call["function"]["arguments"], r#"{"words":"look this up look"}"#);
    }
    assert_eq!(executions(gateway.backend()).await.expect("the mock counts"), 1);
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_format_reaches_the_endpoint_as_the_client_wrote_it_and_its_answer_comes_back() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "2"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let formats = [
        r#"{"type": "json_object"}"#,
        r#"{"json_schema": {"strict":true, "name":"n", "schema":{"type":"object",
            "properties":{"b":{"maximum":9007199254740993,"multipleOf":0.10}, "a":{"type":["string","null"]}}}}, "type":"json_schema"}"#,
    ];
    let body = |format: &str, stream: bool, prompt: &str| {
        format!(
            r#"{{"model":"mock","temperature":0,"stream":{stream},"response_format": {format},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        )
    };
    let assert_asked = async |format: &str| {
        let asked = newest(gateway.backend()).await.expect("the mock tells");
        assert!(
            asked.contains(&format!("\"response_format\":{format}")),
            "{asked}"
        );
    };
    for format in formats {
        let response = client.post("chat/completions", body(format, false, "a b")).await;
        let whole: Value = response.json().await.expect("it is JSON");
        assert_eq!(
            whole["choices"][0]["message"]["content"], r#"{"words":["a"," b"]}"#,
            "{whole}"
        );
        assert_asked(format).await;

        let response = client.post("chat/completions", body(format, true, "c d")).await;
        let said = joined(&chunks(response).await);
        assert_eq!(said[&0]["content"], r#"{"words":["c"," d"]}"#);
        assert_asked(format).await;
    }
    assert_eq!(
        executions(gateway.backend()).await.expect("the mock counts"),
        4,
        "another format is another request"
    );
    client
        .post("chat/completions", body(formats[1], false, "a b"))
        .await;
    assert_eq!(executions(gateway.backend()).await.expect("the mock counts"), 4);
    gateway.stop().expect("it drains");
}

/// What the mock says to `refuse this` in four tokens.
const REFUSAL: &str = "refuse this refuse this";

/// The recorded answer of a request, once the trace is there.
async fn recorded(gateway: &Gateway, response: &reqwest::Response) -> Value {
    let id = response.headers()["x-request-id"].to_str().expect("it is ASCII");
    let url = format!("{}/admin/traces/{id}?format=json", gateway.ops_url);
    for _ in 0..1_000 {
        let trace = relay_tests::http::get(&url).await.expect("the pages answer");
        if trace.status().is_success() {
            let trace: Value = trace.json().await.expect("it is JSON");
            return trace["outcome"]["answer"].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no trace of {id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_client_and_the_trace_streamed_and_whole_and_is_not_taken_from_the_cache() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let body = |stream: bool| {
        let messages = json!([{"role": "user", "content": "refuse this"}]);
        json!({"model": "mock", "temperature": 0, "stream": stream, "messages": messages}).to_string()
    };
    for asked in [1, 3] {
        let response = client.post("chat/completions", body(false)).await;
        let answer = recorded(&gateway, &response).await;
        let whole: Value = response.json().await.expect("it is JSON");
        let message = &whole["choices"][0]["message"];
        assert_eq!(
            (&message["refusal"], &message["content"]),
            (&json!(REFUSAL), &Value::Null),
            "{whole}"
        );
        assert_eq!(answer["choices"][0]["message"]["refusal"], REFUSAL, "{answer}");
        assert_eq!(
            executions(gateway.backend()).await.expect("the mock counts"),
            asked
        );

        let response = client.post("chat/completions", body(true)).await;
        let answer = recorded(&gateway, &response).await;
        let said = joined(&chunks(response).await);
        assert_eq!(said[&0]["refusal"], REFUSAL, "{said:?}");
        assert_eq!(said[&0]["finish_reason"], "stop");
        assert_eq!(answer["choices"][0]["message"]["refusal"], REFUSAL, "{answer}");
        assert_eq!(
            executions(gateway.backend()).await.expect("the mock counts"),
            asked + 1
        );
    }
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
        assert_eq!(choice["logprobs"], "c d c d");
    }
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_completions_and_embeddings_come_through() {
    let mut gateway = Gateway::start(KILLABLE, &["--tokens", "4"])
        .await
        .expect("it starts");
    let client = Client(&gateway);
    let request =
        |prompt: &str| json!({"model": "mock", "temperature": 0, "prompt": prompt, "n": 2, "logprobs": 1});
    let completion = client.whole("completions", &request("once upon")).await;
    assert_eq!(completion["object"], "text_completion", "{completion}");
    for at in 0..2 {
        let choice = &completion["choices"][at];
        assert_eq!(choice["text"], "once upon once upon");
        assert_eq!(
            choice["logprobs"]["tokens"],
            json!(["once", " upon", " once", " upon"])
        );
    }
    let chunks = client.streamed("completions", &request("a time")).await;
    let said = joined(&chunks);
    assert_eq!(said.len(), 2);
    for choice in said.values() {
        assert_eq!(
            (choice["text"].as_str(), choice["logprobs"].as_str()),
            ("a time a time", "a time a time")
        );
        assert_eq!(choice["finish_reason"], "stop");
    }

    let request = json!({"model": "mock", "input": ["a", "bcd"]});
    let embeddings = client.whole("embeddings", &request).await;
    assert_eq!(
        embeddings["data"][0]["embedding"],
        json!([1, 0.5, -1.25]),
        "{embeddings}"
    );
    assert_eq!(embeddings["data"][1]["embedding"], json!([3, 0.5, -1.25]));
    assert_eq!(embeddings["usage"]["prompt_tokens"], 2);
    let asked = executions(gateway.backend()).await.expect("the mock counts");
    let again = client.whole("embeddings", &request).await;
    assert_eq!(again["data"], embeddings["data"]);
    assert_eq!(
        executions(gateway.backend()).await.expect("the mock counts"),
        asked,
        "out of the cache"
    );
    let request = json!({"model": "mock", "input": "a", "encoding_format": "base64"});
    let embeddings = client.whole("embeddings", &request).await;
    assert_eq!(
        embeddings["data"][0]["embedding"], "AACAPwAAAD8AAKC/",
        "{embeddings}"
    );
    gateway.stop().expect("it drains");
}
