//! Bodies at the door: what is taken, what is told of a mistake, and what shares a hash.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use proptest::prelude::*;
use relay_api::request::{Defaults, Parsed, parse};
use relay_api::{Invalid, Limits};
use relay_schemas::Operation;
use serde_json::{Value, json};

fn read(operation: Operation, body: &str) -> Result<Parsed, Invalid> {
    parse(operation, body.into(), &Defaults::default(), &Limits::default())
}

fn chat(body: &str) -> Result<Parsed, Invalid> {
    read(Operation::Chat, body)
}

fn hash(body: &str) -> String {
    let parsed = chat(body).unwrap_or_else(|error| panic!("{body}: {error:?}"));
    parsed.request_hash
}

/// A small chat with these members behind it.
fn with(members: &str) -> String {
    format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"Hi"}}]{members}}}"#)
}

fn plus(extra: &Value) -> String {
    let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

#[test]
fn a_whole_request_is_read_and_carried_byte_for_byte() {
    let body = r#" { "stream_options": {"include_usage": true}, "stream": true, "user": "u-1", "store": false,
        "metadata": {"team": "x"}, "model": "tiny", "temperature": 0.70, "top_p": null, "n": 3, "seed": 9007199254740993,
        "stop": "END", "max_completion_tokens": 64, "vendor_option": {"b": 1.0, "a": [null, true, 1e400]},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "auto",
        "response_format": {"type": "json_object"}, "logprobs": true, "top_logprobs": 2, "reasoning_effort": "low",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Grüße"}, {"type": "image_url", "image_url": {"url": "x"}}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}], "content": null},
            {"role": "tool", "tool_call_id": "c", "content": "7"}
        ]}"#;
    let parsed = chat(body).unwrap();
    assert_eq!(parsed.body, body);
    insta::assert_debug_snapshot!(Parsed {
        body: String::new(),
        ..parsed
    });
}

#[test]
fn a_completion_and_embeddings_are_read_as_such() {
    let completion = read(
        Operation::Completion,
        r#"{"model":"m","prompt":["Once","upon"],"echo":true,"logprobs":2,"best_of":2,"suffix":"."}"#,
    );
    assert_eq!(completion.map(|parsed| parsed.prompt_tokens), Ok(2));
    let embeddings = read(
        Operation::Embedding,
        r#"{"model":"m","input":[[1,2],[3]],"encoding_format":"base64","dimensions":8}"#,
    );
    let facts = embeddings.map(|parsed| (parsed.prompt_tokens, parsed.stream));
    assert_eq!(facts, Ok((3, false)));
}

#[test]
fn defaults_count_where_the_body_has_none() {
    let defaults = Defaults {
        model: Some("house".to_owned()),
        max_tokens: Some(9),
        temperature: Some(0.5),
    };
    let read = |body: &str| parse(Operation::Chat, body.into(), &defaults, &Limits::default()).unwrap();
    let bare = read(r#"{"messages":[{"role":"user","content":"Hi"}]}"#);
    assert_eq!(
        (bare.model.as_str(), bare.requested_tokens, bare.temperature),
        ("house", Some(9), Some(0.5))
    );
    let spelled =
        r#"{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"model":"house","temperature":0.5}"#;
    assert_eq!(
        hash(spelled),
        bare.request_hash,
        "what is meant is what is hashed"
    );
    let eight = read(&with(r#","max_tokens":8"#));
    assert_eq!(eight.requested_tokens, Some(8));
    assert_ne!(eight.request_hash, read(&with("")).request_hash);
}

#[test]
fn embeddings_name_their_model_and_never_take_that_of_a_chat() {
    let defaults = Defaults {
        model: Some("house".to_owned()),
        ..Defaults::default()
    };
    let read = |body: &str| parse(Operation::Embedding, body.into(), &defaults, &Limits::default());
    let refused = read(r#"{"input":"a"}"#).unwrap_err();
    assert_eq!(
        (refused.code, refused.param.as_deref()),
        ("missing_required_parameter", Some("model"))
    );
    assert_eq!(read(r#"{"input":"a","model":"m"}"#).unwrap().model, "m");
}

/// Found by reading: both became the double 9007199254740992, and the second was given the first one's cached answer.
#[test]
fn numbers_count_digit_by_digit_whatever_their_size() {
    for (one, other) in [
        ("9007199254740993", "9007199254740992"),
        ("1e400", "1e401"),
        ("1.0", "1"),
        ("-0", "0"),
    ] {
        let body = |number| with(&format!(r#","vendor":{{"deep":[{number}]}}"#));
        assert_ne!(hash(&body(one)), hash(&body(other)), "{one} {other}");
        assert_eq!(chat(&body(one)).unwrap().body, body(one), "carried as it came");
    }
    let seed = |seed| with(&format!(r#","seed":{seed}"#));
    assert_ne!(hash(&seed("9007199254740993")), hash(&seed("9007199254740992")));
}

#[test]
fn the_hash_is_the_documented_one() {
    // printf 'relay.request.v1\nchat\n{"messages":[{"content":"Hi","role":"user"}],"model":"tiny"}' | sha256sum
    let members = ["", r#","temperature":0.70,"stream":true"#, r#","tools":[]"#];
    let hashes = members.map(|members| hash(&with(members)));
    insta::assert_snapshot!(hashes.join("\n"));
}

#[test]
fn how_an_answer_travels_and_who_asks_is_no_part_of_the_hash() {
    let plain = hash(&with(""));
    for same in [
        r#","stream":true,"stream_options":{"include_usage":true}"#,
        r#","user":"u","metadata":{"a":"b"},"store":true"#,
        r#","safety_identifier":"s","prompt_cache_key":"k""#,
    ] {
        assert_eq!(hash(&with(same)), plain, "{same}");
    }
    let moved = "{ \"messages\" : [ {\"content\":\"\\u0048i\" , \"role\":\"user\"} ],\n\"model\":\"tiny\" }";
    assert_eq!(hash(moved), plain);
    for other in [
        r#","max_tokens":5"#,
        r#","max_completion_tokens":5"#,
        r#","temperature":null"#,
        r#","unknown":null"#,
    ] {
        assert_ne!(hash(&with(other)), plain, "{other}");
    }
    let tool = |parameters: &str| {
        with(&format!(
            r#","tools":[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]"#
        ))
    };
    let (one, other) = (tool(r#"{"a":1,"b":1}"#), tool(r#"{"b":1,"a":1}"#));
    assert_ne!(
        hash(&one),
        hash(&other),
        "the order of parameters may change an answer"
    );
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_remedy() {
    let messages = |messages: Value| json!({"model": "tiny", "messages": messages}).to_string();
    let bodies: Vec<String> = vec![
        String::new(),
        "  \n ".to_owned(),
        r#"{"model": "tiny", "messages": ["#.to_owned(),
        "{\"model\": \"tiny\"\n, secret }".to_owned(),
        "[1]".to_owned(),
        "\"text\"".to_owned(),
        "{}".to_owned(),
        r#"{"model": "tiny"}"#.to_owned(),
        with(r#","seed":1,"se\u0065d":2"#),
        with(r#","a secret name":1,"a secret name":2"#),
        with(r#","vendor":"\ud800""#),
        json!({"model": 7, "messages": []}).to_string(),
        json!({"model": "", "messages": [{"role": "user", "content": "x"}]}).to_string(),
        json!({"messages": [{"role": "user", "content": "x"}]}).to_string(),
        messages(json!("hello")),
        messages(json!([])),
        messages(json!(["secret"])),
        messages(json!([["user", "secret"]])),
        messages(json!([{"role": "user", "content": [["text", "secret"]]}])),
        messages(json!([{"content": "x"}])),
        messages(json!([{"role": "secret", "content": "x"}])),
        messages(json!([{"role": 1, "content": "x"}])),
        messages(json!([{"role": "user"}])),
        messages(json!([{"role": "user", "content": 5}])),
        messages(json!([{"role": "user", "content": "x"}, {"role": "user", "content": [7]}])),
        messages(json!([{"role": "user", "content": [{"text": "secret"}]}])),
        messages(json!([{"role": "user", "content": [{"type": "text"}]}])),
        messages(json!([{"role": "user", "content": [{"type": "text", "text": 5}]}])),
        messages(json!([{"role": "user", "content": "x", "name": "n".repeat(300)}])),
        plus(&json!({"temperature": "secret, expected nothing"})),
        plus(&json!({"temperature": 2.1})),
        plus(&json!({"temperature": -0.1})),
        with(r#","temperature":1e400"#),
        plus(&json!({"top_p": 1.5})),
        plus(&json!({"max_tokens": 0})),
        plus(&json!({"max_tokens": 1.5})),
        plus(&json!({"max_tokens": "5"})),
        plus(&json!({"max_tokens": 3_000_000_000_u64})),
        plus(&json!({"max_tokens": 5, "max_completion_tokens": 6})),
        plus(&json!({"n": 129})),
        plus(&json!({"stop": 5})),
        plus(&json!({"stop": ["a", 5]})),
        plus(&json!({"stop": ""})),
        plus(&json!({"stop": ["a", "b", "c", "d", "e"]})),
        plus(&json!({"stop": ["a", "b".repeat(240_000)]})),
        plus(&json!({"stream": "yes"})),
        plus(&json!({"stream_options": {"include_usage": true}})),
        plus(&json!({"stream": true, "stream_options": {"include_usage": 1}})),
        plus(&json!({"stream": true, "stream_options": []})),
        plus(&json!({"seed": 1.5})),
        plus(&json!({"user": 5})),
        plus(&json!({"user": "u".repeat(300)})),
        plus(&json!({"metadata": {"a": 1}})),
        plus(&json!({"logit_bias": {"my secret": "x"}})),
        plus(&json!({"metadata": {"a": "v".repeat(600)}})),
        plus(&json!({"metadata": {"k".repeat(70): "v"}})),
        plus(&json!({"tools": {}})),
        plus(&json!({"tools": [{"type": "function"}]})),
        plus(&json!({"tools": [{"type": "function", "function": {}}]})),
        plus(&json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": 7}}]})),
        plus(&json!({"tool_choice": 7})),
        plus(&json!({"logit_bias": [1]})),
        plus(&json!({"logit_bias": {"1": 101}})),
        plus(&json!({"top_logprobs": 5})),
        plus(&json!({"logprobs": true, "top_logprobs": 21})),
        plus(&json!({"response_format": "json"})),
        plus(&json!({"response_format": {"type": "json_schema"}})),
        plus(&json!({"modalities": "text"})),
        plus(&json!({"presence_penalty": 3})),
    ];
    let table: Vec<String> = bodies
        .iter()
        .map(|body| {
            let invalid = chat(body).expect_err(body);
            let words = format!("{} {:?}", invalid.message, invalid.param);
            assert!(!words.contains("secret"), "no content in messages: {words}");
            let short: String = body.chars().take(110).collect();
            let param = invalid.param.as_deref().unwrap_or("-");
            format!("{short:?}\n  {} @ {param}\n  {}", invalid.code, invalid.message)
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn names_of_tools_of_choices_and_of_formats_are_bounded_as_other_names() {
    let long = "n".repeat(300);
    let named = json!({"name": long});
    let message = |function_call: &Value| json!({"role": "assistant", "function_call": function_call});
    let cases = [
        (
            "tools[0].custom.name",
            json!({"tools": [{"type": "custom", "custom": named}]}),
        ),
        (
            "tools[0].function.name",
            json!({"tools": [{"type": "function", "function": named}]}),
        ),
        ("functions[0].name", json!({"functions": [named]})),
        (
            "tool_choice.function.name",
            json!({"tool_choice": {"type": "function", "function": named}}),
        ),
        (
            "tool_choice.custom.name",
            json!({"tool_choice": {"type": "custom", "custom": named}}),
        ),
        ("function_call.name", json!({"function_call": named})),
        (
            "response_format.json_schema.name",
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": long, "schema": {}}}}),
        ),
        (
            "messages[0].function_call.name",
            json!({"messages": [message(&named)]}),
        ),
    ];
    for (param, more) in cases {
        let invalid = chat(&plus(&more)).expect_err(param);
        assert_eq!(invalid.param.as_deref(), Some(param), "{}", invalid.message);
        let text = plus(&more).replace(&long, "fine");
        chat(&text).unwrap_or_else(|invalid| panic!("{param}: {}", invalid.message));
    }
}

#[test]
fn mistakes_of_completions_and_embeddings_are_named_too() {
    let told = |operation, body: &str| {
        let invalid = read(operation, body).expect_err(body);
        let param = invalid.param.unwrap_or_default();
        format!("{body}\n  {} @ {param}\n  {}", invalid.code, invalid.message)
    };
    let completions = [
        r#"{"model":"m"}"#,
        r#"{"model":"m","prompt":["a",1]}"#,
        r#"{"model":"m","prompt":[]}"#,
        r#"{"model":"m","prompt":["a","b"],"n":100}"#,
        r#"{"model":"m","prompt":"a","n":2,"best_of":1}"#,
        r#"{"model":"m","prompt":"a","best_of":2,"stream":true}"#,
        r#"{"model":"m","prompt":"a","logprobs":true}"#,
    ];
    let embeddings = [
        r#"{"model":"m"}"#,
        r#"{"input":"a"}"#,
        r#"{"model":"m","input":""}"#,
        r#"{"model":"m","input":[[]]}"#,
        r#"{"model":"m","input":"a","encoding_format":"hex"}"#,
        r#"{"model":"m","input":"a","dimensions":0}"#,
    ];
    let completions = completions.map(|body| told(Operation::Completion, body));
    let embeddings = embeddings.map(|body| told(Operation::Embedding, body));
    insta::assert_snapshot!([completions.join("\n"), embeddings.join("\n")].join("\n"));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let body = b"{\"model\": \"\xff\"}";
    let refused = parse(
        Operation::Chat,
        body.to_vec(),
        &Defaults::default(),
        &Limits::default(),
    );
    assert_eq!(refused.map_err(|invalid| invalid.code), Err("invalid_json"));
}

#[test]
fn a_deeply_nested_body_is_refused_and_does_not_overflow_the_stack() {
    let nested = |times| {
        let (open, close) = ("{\"a\":".repeat(times), "}".repeat(times));
        with(&format!(r#","x":{open}1{close}"#))
    };
    let lists = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [lists.clone(), with(&format!(r#","x":{lists}"#)), nested(64)] {
        assert!(chat(&body).is_err());
    }
    assert!(chat(&nested(63)).is_ok());
}

#[test]
fn prompts_are_estimated_with_their_tools() {
    // One for "Hi", four for the message, three before the answer.
    assert_eq!(chat(&with("")).unwrap().prompt_tokens, 8);
    let tools = r#"[{"type":"function","function":{"name":"f"}}]"#;
    let parsed = chat(&with(&format!(r#","tools":{tools}"#))).unwrap();
    assert_eq!(parsed.prompt_tokens as usize, 8 + tools.len().div_ceil(4));
}

fn raw_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i128>().prop_map(|value| value.to_string()),
        (0_u32..500).prop_map(|power| format!("1e{power}")),
        "[a-z]{0,4}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let members = prop::collection::btree_map("[a-d]{1,2}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            members.prop_map(|members| format!("{{{}}}", joined(&members).join(","))),
        ]
    })
}

fn joined(members: &std::collections::BTreeMap<String, String>) -> Vec<String> {
    let member = |(name, value): (&String, &String)| format!("\"{name}\":{value}");
    members.iter().map(member).collect()
}

proptest! {
    #[test]
    fn bodies_that_differ_in_anything_that_may_change_an_answer_never_share_a_hash(
        members in prop::collection::btree_map("x[a-z]{0,3}", raw_value(), 1..5),
        other in raw_value(),
        which in any::<prop::sample::Index>(),
    ) {
        let mut changed = members.clone();
        let name = changed.keys().nth(which.index(changed.len())).cloned().unwrap();
        let was = changed.insert(name, other.clone()).unwrap();
        let body = |members| with(&format!(",{}", joined(members).join(",")));
        prop_assert_eq!(hash(&body(&members)) == hash(&body(&changed)), was == other);
    }

    #[test]
    fn white_space_and_the_order_of_members_do_not_count(
        members in prop::collection::btree_map("x[a-z]{0,3}", raw_value(), 0..6),
    ) {
        let mut all = joined(&members);
        all.push(r#""model":"tiny""#.to_owned());
        all.push(r#""messages":[{"role":"user","content":"Hi"}]"#.to_owned());
        let forward = format!("{{{}}}", all.join(","));
        all.reverse();
        let backward = format!(" {{\n{} }}\t", all.join(" ,\n ").replace("\":", "\" :\t"));
        prop_assert_eq!(hash(&forward), hash(&backward));
    }
}

#[test]
fn tools_and_functions_have_one_bound() {
    let most = Limits::default().tools;
    let function = json!({"name": "f"});
    for (name, one) in [
        ("tools", json!({"type": "function", "function": &function})),
        ("functions", function.clone()),
    ] {
        assert!(chat(&plus(&json!({name: vec![&one; most]}))).is_ok());
        let refused = chat(&plus(&json!({name: vec![&one; most + 1]}))).unwrap_err();
        assert_eq!(refused.param.as_deref(), Some(name));
        assert!(
            refused.message.contains("at most 128, got 129"),
            "{}",
            refused.message
        );
    }
}

#[test]
fn all_tokens_may_be_asked_for_as_minus_one_and_fewer_than_that_are_refused() {
    assert!(chat(&with(r#","top_k":-1,"seed":42.0"#)).is_ok());
    for (member, name) in [
        ("\"top_k\":-2", "top_k"),
        ("\"seed\":9223372036854775808", "seed"),
    ] {
        let refused = chat(&with(&format!(",{member}"))).unwrap_err();
        assert_eq!(refused.param.as_deref(), Some(name), "{}", refused.message);
    }
}

/// Postgres keeps no U+0000 in text: what was stored with one could not be found again.
#[test]
fn control_characters_in_user_and_metadata_are_refused() {
    let refused = [
        (
            r#","user":"a\u0000b""#,
            "`user` holds the control character U+0000; leave it out",
        ),
        (
            r#","user":"a\nb""#,
            "`user` holds the control character U+000A; leave it out",
        ),
        (
            r#","metadata":{"a\u0007":"b"}"#,
            "`metadata` holds the control character U+0007; leave it out",
        ),
        (
            r#","metadata":{"a":"\u0000"}"#,
            "`metadata` holds the control character U+0000; leave it out",
        ),
        (
            r#","metadata":{"a":"\u009f"}"#,
            "`metadata` holds the control character U+009F; leave it out",
        ),
    ];
    for (members, message) in refused {
        let refusal = chat(&with(members)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            ("invalid_value", message),
            "{members}"
        );
    }
    let embedding = r#"{"model":"m","input":"a","user":"\u0000"}"#;
    let refusal = read(Operation::Embedding, embedding).unwrap_err();
    assert_eq!(refusal.param.as_deref(), Some("user"));
    chat(&with(r#","user":"Zoë 😀","metadata":{"a":"one\n\ttwo\r\n"}"#)).unwrap();
}
