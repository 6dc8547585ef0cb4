//! Every operation, and everything that an answer may hold, through a remote model.

use std::sync::Arc;

use relay_bus::{Headers, header};
use relay_lifecycle::Transcript;
use relay_schemas::{FinishReason, Operation, Outcome, TokenCount};
use relay_workers::testing::House;
use relay_workers::testing::scripted::{Reply, Scripted};

use crate::scene::{DONE, STOP, Scene, TEXT, USAGE, completed, refused};

#[tokio::test]
async fn a_query_of_the_base_url_stays_behind_the_path_of_every_operation() {
    let mut scene = Scene::with_url(
        vec![Reply::events(&[TEXT, STOP, DONE])],
        "/v1/?api-version=2024-10-21",
    )
    .await;
    completed(&scene.outcome().await);
    assert_eq!(
        scene.endpoint.asked()[0].line,
        "POST /v1/chat/completions?api-version=2024-10-21 HTTP/1.1"
    );
}

#[tokio::test]
async fn the_clients_traceparent_goes_upstream() {
    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut scene = Scene::new(vec![Reply::events(&[TEXT, STOP, DONE])]).await;
    let work = scene.work();
    let mut headers = Headers::of(&work.request);
    headers.set(header::TRACEPARENT, TRACEPARENT.to_owned());
    scene.house.dispatch_with(&work, headers).await.unwrap();
    completed(&scene.house.outcome().await.unwrap());
    let other = scene.house.work("r-2", "m", "hi");
    completed(&scene.run(&other).await);
    let asked = scene.endpoint.asked();
    assert!(
        asked[0].head.contains(&format!("traceparent: {TRACEPARENT}")),
        "{}",
        asked[0].head
    );
    assert!(!asked[1].head.contains("traceparent"), "{}", asked[1].head);
}

#[tokio::test]
async fn what_goes_upstream_is_what_the_client_sent_but_for_what_the_plan_says() {
    let mut scene = Scene::new(vec![Reply::events(&[TEXT, STOP, DONE])]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5000,
        "seed_of_theirs":9007199254740993,"huge":1e400,"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}]}"#
        .to_owned();
    completed(&scene.run(&work).await);
    assert_eq!(
        scene.endpoint.asked()[0].body,
        concat!(
            r#"{"model":"theirs","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":1000,"#,
            r#""seed_of_theirs":9007199254740993,"huge":1e400,"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}],"#,
            r#""temperature":0.0}"#
        )
    );
}

/// A streamed chat: the outcome, and what its frames say together.
/// Before, the policy's temperature and limit were sent whatever the client had said, and an endpoint that knows neither answered 400.
#[tokio::test]
async fn a_model_that_takes_neither_limit_nor_temperature_is_asked_without_and_the_answer_says_what_was_left_out()
 {
    let reply = || Reply::events(&[TEXT, STOP, DONE]);
    let line = "limit_field: none\n    omit: [temperature]";
    let mut scene = Scene::with(vec![reply(), reply()], "/v1", line).await;
    let set = scene.work();
    let outcome = scene.run(&set).await;
    assert_eq!(
        completed(&outcome).extra.as_deref(),
        Some(r#"{"relay_omitted":["max_tokens","temperature"]}"#)
    );
    let mut unset = scene.house.work("r-2", "m", "hi");
    Arc::make_mut(&mut unset.planning).plan.decoding.max_tokens_unset = true;
    Arc::make_mut(&mut unset.planning).plan.decoding.temperature_unset = true;
    let outcome = scene.run(&unset).await;
    assert_eq!(completed(&outcome).extra, None);
    for asked in scene.endpoint.asked() {
        assert_eq!(
            asked.body,
            r#"{"messages":[{"content":"hi","role":"user"}],"model":"theirs"}"#
        );
    }
}

async fn shown(events: &[&str], body: &str) -> (Outcome, Transcript) {
    let mut scene = Scene::new(vec![Reply::events(events)]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).stream = true;
    body.clone_into(&mut Arc::make_mut(&mut work.request).body);
    let mut frames = scene.house.listen(&mut work).await.unwrap();
    let outcome = scene.run(&work).await;
    let mut shown = Transcript::default();
    for frame in frames.all().await.unwrap() {
        shown.apply(&frame);
    }
    assert_eq!(
        shown.choices(),
        completed(&outcome).choices,
        "a stream shows what is recorded"
    );
    (outcome, shown)
}

#[tokio::test]
async fn tool_calls_come_through_in_pieces() {
    let (_, shown) = shown(
        &[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
            USAGE,
            DONE,
        ],
        r#"{"tools":[{"type":"function"}]}"#,
    )
    .await;
    let choice = &shown.choices()[0];
    let calls: Vec<_> = choice
        .message
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [("c1", "f", "{\"a\":1}"), ("c2", "g", "{}")]);
    assert_eq!(
        (choice.message.text.as_deref(), choice.finish_reason),
        (None, Some(FinishReason::ToolCalls))
    );
}

#[tokio::test]
async fn two_calls_of_one_function_without_ids_and_arguments_are_two_calls_streamed_and_whole() {
    let calls = |index: &str| {
        let call = |arguments: &str| format!(r#"{{{index}"function":{{"name":"f"{arguments}}}}}"#);
        format!("[{},{}]", call(""), call(r#","arguments":"""#))
    };
    let names = |transcript: &Transcript| -> Vec<String> {
        let calls = transcript.choices()[0].message.tool_calls.iter();
        calls.map(|call| call.name.clone() + &call.arguments).collect()
    };
    for index in ["", r#""index":0,"#] {
        let calls = calls(index);
        let delta = format!(r#"{{"choices":[{{"delta":{{"tool_calls":{calls}}}}}]}}"#);
        let more = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":""}}]}}]}"#;
        let (_, shown) = shown(&[&delta, more, STOP, DONE], "{}").await;
        assert_eq!(names(&shown), ["f", "f"], "{delta}");

        let body =
            format!(r#"{{"choices":[{{"message":{{"tool_calls":{calls}}},"finish_reason":"stop"}}]}}"#);
        for stream in [false, true] {
            let mut scene = Scene::new(vec![Reply::json(200, &body)]).await;
            let mut work = scene.work();
            Arc::make_mut(&mut work.request).stream = stream;
            let mut frames = scene.house.listen(&mut work).await.unwrap();
            let outcome = scene.run(&work).await;
            assert_eq!(names(&Transcript::of(completed(&outcome))), ["f", "f"], "{body}");
            let mut told = Transcript::default();
            for frame in frames.all().await.unwrap() {
                told.apply(&frame);
            }
            assert_eq!(names(&told), ["f", "f"], "{body}");
        }
    }
}

#[tokio::test]
async fn several_choices_with_logprobs_reasoning_refusals_and_unknown_fields_come_through() {
    let (outcome, shown) = shown(
        &[
            r#"{"system_fingerprint":"fp","choices":[{"index":0,"delta":{"reasoning_content":"hm"}},{"index":1,"delta":{"refusal":"no"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a","audio":{"id":9007199254740993}},"logprobs":{"content":[{"token":"a","logprob":-0.10}]},"stop_reason":7}]}"#,
            r#"{"choices":[{"index":1,"delta":{},"finish_reason":"content_filter"}]}"#,
            STOP,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7,"completion_tokens_details":{"reasoning_tokens":1}}}"#,
            DONE,
        ],
        r#"{"n":2,"logprobs":true}"#,
    )
    .await;
    let [first, second] = shown.choices() else {
        panic!("{:?}", shown.choices())
    };
    assert_eq!(first.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(first.message.text.as_deref(), Some("a"));
    assert_eq!(first.message.logprobs, [r#"{"token":"a","logprob":-0.10}"#]);
    assert_eq!(
        first.message.extra.as_deref(),
        Some(r#"{"audio":{"id":9007199254740993}}"#)
    );
    assert_eq!(first.extra.as_deref(), Some(r#"{"stop_reason":7}"#));
    assert_eq!(second.message.refusal.as_deref(), Some("no"));
    assert_eq!(second.finish_reason, Some(FinishReason::ContentFilter));
    let answer = outcome.answer.unwrap();
    assert_eq!(answer.extra.as_deref(), Some(r#"{"system_fingerprint":"fp"}"#));
    assert_eq!(
        answer.usage_details.as_deref(),
        Some(r#"{"completion_tokens_details":{"reasoning_tokens":1}}"#)
    );
}

#[tokio::test]
async fn text_completions_come_through() {
    let mut scene = Scene::new(vec![Reply::events(&[
        r#"{"object":"text_completion","choices":[{"index":0,"text":"once ","logprobs":{"tokens":["once "],"token_logprobs":[-0.10]}}]}"#,
        r#"{"choices":[{"index":0,"text":"upon","logprobs":null,"finish_reason":"length"}]}"#,
        USAGE,
        DONE,
    ])])
    .await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).operation = Operation::Completion;
    Arc::make_mut(&mut work.request).body = r#"{"model":"m","prompt":["x"],"max_tokens":9}"#.to_owned();
    let outcome = scene.run(&work).await;
    let choice = &completed(&outcome).choices[0];
    assert_eq!(choice.message.text.as_deref(), Some("once upon"));
    assert_eq!(choice.finish_reason, Some(FinishReason::Length));
    let facts = relay_api::response::Facts {
        request_id: "r-1",
        model: "m",
        created: 7,
    };
    let end = relay_schemas::samples::last();
    let rendered = relay_api::completions::render::completion(facts, &end, std::slice::from_ref(choice));
    assert!(
        rendered.contains(r#""logprobs":{"tokens":["once "],"token_logprobs":[-0.10],"#),
        "{rendered}"
    );
    let asked = &scene.endpoint.asked()[0];
    assert_eq!(asked.line, "POST /v1/completions HTTP/1.1");
    assert!(
        asked
            .body
            .starts_with(r#"{"model":"theirs","prompt":["x"],"max_tokens":1000,"#),
        "{}",
        asked.body
    );
}

#[tokio::test]
async fn embeddings_come_through_exactly_and_as_a_whole() {
    let body = r#"{"object":"list","model":"e-1","data":[{"object":"embedding","index":0,"embedding":[0.25,-1.5e-3]},
        {"object":"embedding","index":1,"embedding":"AAAAPwAAgL8="}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let mut scene = Scene::new(vec![Reply::json(200, body)]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).operation = Operation::Embedding;
    Arc::make_mut(&mut work.request).body = r#"{"model":"m","input":["a","b"]}"#.to_owned();
    let mut frames = scene.house.listen(&mut work).await.unwrap();
    let outcome = scene.run(&work).await;
    let answer = completed(&outcome);
    let values: Vec<&[f32]> = answer
        .embeddings
        .iter()
        .map(|vector| &vector.values[..])
        .collect();
    assert_eq!(values, [&[0.25, -1.5e-3][..], &[0.5, -1.0]]);
    assert_eq!((answer.choices.len(), answer.model_version.as_str()), (0, "e-1"));
    assert_eq!(
        (outcome.usage.prompt_tokens, outcome.usage.completion_tokens),
        (TokenCount(4), TokenCount(0))
    );
    let last = frames.all().await.unwrap().pop().unwrap();
    assert_eq!(last.embeddings, answer.embeddings);
    let asked = &scene.endpoint.asked()[0];
    assert_eq!(
        (asked.line.as_str(), asked.body.as_str()),
        (
            "POST /v1/embeddings HTTP/1.1",
            r#"{"model":"theirs","input":["a","b"]}"#
        )
    );
}

#[tokio::test]
async fn vectors_that_are_too_large_together_are_refused_with_the_way_out() {
    let values = vec!["0.5"; 300].join(",");
    let body = format!("{{\"data\":[{{\"embedding\":[{values}]}}]}}");
    let endpoint = Scripted::start(vec![Reply::json(200, &body)]).await.unwrap();
    let models = format!(
        "models:\n  m: {{backend: openai, base_url: \"http://{}/v1\", upstream_model: theirs}}\n",
        endpoint.address()
    );
    let mut house = House::start(&models, |config| {
        config.max_answer = relay_settings::ByteSize::b(1_000);
    })
    .await
    .unwrap();
    let mut work = house.work("r-1", "m", "x");
    Arc::make_mut(&mut work.request).operation = Operation::Embedding;
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    let (code, message) = refused(&outcome);
    assert!(
        code == "invalid_request" && message.contains("ask for fewer at once"),
        "{message}"
    );
}
