#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use serde_json::{Value, json};

use super::*;

fn parse(body: &Value) -> Result<Chat, Refusal> {
    chat(body.to_string().as_bytes(), &Defaults::default())
}

fn with(extra: &Value) -> Value {
    let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_whole_request_becomes_its_canonical_form() {
    let chat = parse(&json!({
        "stream_options": {"include_usage": true},
        "stream": true,
        "user": "u-1",
        "store": false,
        "metadata": {"team": "x"},
        "model": "tiny",
        "temperature": 0.70,
        "top_p": null,
        "n": 1,
        "seed": 7,
        "stop": "END",
        "max_completion_tokens": 64,
        "vendor_option": {"b": 1.0, "a": [null, true]},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Grüße"}]},
            {"role": "assistant", "tool_calls": [{"id": "c"}], "content": null},
        ],
    }));
    insta::assert_debug_snapshot!(chat.unwrap());
}

#[test]
fn the_smallest_request_becomes_its_canonical_form() {
    insta::assert_debug_snapshot!(parse(&with(&json!({}))).unwrap());
}

#[test]
fn what_does_not_change_the_answer_does_not_change_the_hash() {
    let hash = |extra: Value| parse(&with(&extra)).unwrap().request_hash;
    let plain = hash(json!({"max_tokens": 5, "stop": ["x"]}));
    for same in [
        json!({"max_completion_tokens": 5, "stop": "x"}),
        json!({"max_tokens": 5.0, "stop": ["x"], "n": 1, "temperature": null}),
        json!({"max_tokens": 5, "max_completion_tokens": 5, "stop": "x", "stream": true}),
        json!({"max_tokens": 5, "stop": "x", "user": "u", "metadata": {"a": "b"}, "store": true}),
    ] {
        assert_eq!(hash(same.clone()), plain, "{same}");
    }
    for other in [
        json!({"max_tokens": 6, "stop": "x"}),
        json!({"max_tokens": 5}),
        json!({"max_tokens": 5, "stop": "x", "temperature": 0}),
        json!({"max_tokens": 5, "stop": "x", "unknown": null}),
    ] {
        assert_ne!(hash(other.clone()), plain, "{other}");
    }
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_remedy() {
    let long_key = "x".repeat(50);
    let bodies: Vec<String> = vec![
        String::new(),
        "  \n ".to_owned(),
        r#"{"model": "tiny", "messages": ["#.to_owned(),
        "{\"model\": \"tiny\"\n, secret }".to_owned(),
        "[1]".to_owned(),
        "\"text\"".to_owned(),
        "{}".to_owned(),
        r#"{"model": "tiny"}"#.to_owned(),
        json!({"model": 7, "messages": []}).to_string(),
        json!({"model": "", "messages": []}).to_string(),
        json!({"model": "tiny", "messages": "hello"}).to_string(),
        json!({"model": "tiny", "messages": []}).to_string(),
        json!({"model": "tiny", "messages": ["hello"]}).to_string(),
        json!({"model": "tiny", "messages": [{"content": "x"}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "robot", "content": "x"}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": 1, "content": "x"}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "user"}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "user", "content": 5}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "user", "content": [7]}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "user", "content": [{"text": "x"}]}]}).to_string(),
        json!({"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text"}]}]}).to_string(),
        with(&json!({"temperature": "hot"})).to_string(),
        with(&json!({"temperature": 2.1})).to_string(),
        with(&json!({"temperature": -0.1})).to_string(),
        with(&json!({"top_p": 1.5})).to_string(),
        with(&json!({"max_tokens": 0})).to_string(),
        with(&json!({"max_tokens": 1.5})).to_string(),
        with(&json!({"max_tokens": "5"})).to_string(),
        with(&json!({"max_tokens": 3_000_000_000_u64})).to_string(),
        with(&json!({"max_tokens": 5, "max_completion_tokens": 6})).to_string(),
        with(&json!({"n": 2})).to_string(),
        with(&json!({"stop": 5})).to_string(),
        with(&json!({"stop": ["a", 5]})).to_string(),
        with(&json!({"stop": ""})).to_string(),
        with(&json!({"stop": ["a", "b", "c", "d", "e"]})).to_string(),
        with(&json!({"stream": "yes"})).to_string(),
        with(&json!({"stream_options": {"include_usage": true}})).to_string(),
        with(&json!({"stream": true, "stream_options": {"include_usage": 1}})).to_string(),
        with(&json!({"stream": true, "stream_options": []})).to_string(),
        with(&json!({"seed": 1.5})).to_string(),
        with(&json!({"seed": 9_007_199_254_740_993_i64})).to_string(),
        with(&json!({"user": 5})).to_string(),
        with(&json!({"tools": {}})).to_string(),
        with(&json!({"logit_bias": [1]})).to_string(),
        with(&json!({long_key: 1, "presence_penalty": 3})).to_string(),
    ];
    let table: Vec<String> = bodies
        .iter()
        .map(|body| {
            let refusal = chat(body.as_bytes(), &Defaults::default()).unwrap_err();
            assert_eq!(refusal.status, 400);
            assert!(!refusal.message.contains("secret"), "no content in messages");
            let short: String = body.chars().take(90).collect();
            format!(
                "{short:?}\n  {} @ {}\n  {}",
                refusal.code,
                refusal.param.as_deref().unwrap_or("-"),
                refusal.message
            )
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let refusal = chat(b"{\"model\": \"\xff\"}", &Defaults::default()).unwrap_err();
    assert_eq!(refusal.code, "invalid_json");
}

#[test]
fn a_deeply_nested_body_is_refused_and_does_not_overflow_the_stack() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        chat(body.as_bytes(), &Defaults::default()).unwrap_err().code,
        "invalid_json"
    );
}

#[test]
fn prompt_lengths_are_estimated_by_the_documented_rule() {
    let table = [
        ("", 0),
        ("abcd", 1),
        ("abcde", 2),
        ("Grüße", 3),
        ("日本語", 3),
        ("😀", 1),
    ];
    for (text, tokens) in table {
        assert_eq!(messages::estimate(text), tokens, "{text:?}");
    }
    // One for "Hi", four for the message, three before the answer.
    assert_eq!(parse(&with(&json!({}))).unwrap().prompt_tokens, TokenCount(8));
}
