//! What no client reads as it comes is asked for in one piece.

use std::sync::Arc;
use std::time::Duration;

use relay_schemas::{Candidate, FinishReason, Outcome, OutcomeStatus, TokenCount};
use relay_workers::testing::House;
use relay_workers::testing::scripted::{BodyEnd, Reply, Scripted};

use crate::scene::{DONE, STOP, Scene, TEXT, USAGE, completed, refused};

const WHOLE: &str = r#"{"model":"m-2","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}"#;

/// Limits that a stream would break.
const SHORT: &str = "first_byte_timeout: 50ms\n    idle_timeout: 50ms";

#[tokio::test]
async fn a_whole_answer_comes_with_all_that_it_says() {
    let body = r#"{"id":"x","model":"m-2","system_fingerprint":"fp","choices":[
        {"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"hm"},"logprobs":{"content":[{"token":"a","logprob":-0.10}]},"finish_reason":"length"},
        {"index":1,"message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],
        "usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":1}}}"#;
    let mut scene = Scene::new(vec![Reply::json(200, body)]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).body = r#"{"n":2,"logprobs":true}"#.to_owned();
    let outcome = scene.run(&work).await;
    let answer = completed(&outcome);
    let [first, second] = &answer.choices[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(first.message.text.as_deref(), Some("a"));
    assert_eq!(first.message.reasoning.as_deref(), Some("hm"));
    assert_eq!(first.message.logprobs, [r#"{"token":"a","logprob":-0.10}"#]);
    assert_eq!(first.finish_reason, Some(FinishReason::Length));
    assert_eq!(second.message.tool_calls[0].name, "f");
    assert_eq!(second.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!(answer.extra.as_deref(), Some(r#"{"system_fingerprint":"fp"}"#));
    assert_eq!(
        answer.usage_details.as_deref(),
        Some(r#"{"prompt_tokens_details":{"cached_tokens":1}}"#)
    );
    let usage = outcome.usage;
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens),
        (TokenCount(3), TokenCount(7))
    );
    let asked = &scene.endpoint.asked()[0];
    assert!(!asked.body.contains("stream"), "{}", asked.body);
    assert!(
        asked.head.contains("accept: application/json\r\n"),
        "{}",
        asked.head
    );
}

#[tokio::test]
async fn a_whole_answer_says_nothing_of_when_its_first_token_was_there_and_a_stream_does() {
    for (reply, line, is_known) in [
        (Reply::json(200, WHOLE), "", false),
        // It streams though it was asked for one piece.
        (Reply::events(&[TEXT, STOP, USAGE, DONE]), "", true),
        (Reply::events(&[TEXT, STOP, USAGE, DONE]), "progress: true", true),
    ] {
        let mut scene = Scene::with(vec![reply], "/v1", line).await;
        let outcome = scene.outcome().await;
        assert_eq!(completed(&outcome).first_text(), "hello");
        assert_eq!(outcome.usage.completion_tokens, TokenCount(7));
        assert_eq!(outcome.timings.ttft_ms.is_some(), is_known, "{line}");
        let asked = &scene.endpoint.asked()[0].body;
        assert_eq!(asked.contains(r#""stream":true"#), !line.is_empty(), "{asked}");
    }
}

#[tokio::test]
async fn a_whole_answer_is_waited_for_longer_than_a_stream_may_be_silent() {
    let late = Reply::json(200, WHOLE).after(Duration::from_millis(500));
    // Some hold the connection with blanks until it is there.
    let blanks = Reply::json(200, "\n\n").then(BodyEnd::Late(WHOLE));
    for reply in [late, blanks] {
        let mut scene = Scene::with(vec![reply], "/v1", SHORT).await;
        assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
        assert_eq!(scene.requests(), 1);
    }
}

#[tokio::test]
async fn what_may_take_longer_than_answer_timeout_is_asked_for_as_a_stream_and_answered() {
    let reply = Reply::events(&[TEXT, STOP, USAGE, DONE]).after(Duration::from_millis(300));
    let mut scene = Scene::with(vec![reply], "/v1", "answer_timeout: 100ms").await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert!(scene.endpoint.asked()[0].body.contains(r#""stream":true"#));
}

/// A model at this endpoint, asked before another one at that.
async fn outcome_of_two(first: &Scripted, second: &Scripted, wait_ms: i64) -> Outcome {
    let model = |name: &str, at: &Scripted| {
        format!(
            "  {name}: {{backend: openai, base_url: \"http://{}/v1\", upstream_model: u}}\n",
            at.address()
        )
    };
    let models = format!("models:\n{}{}", model("m", first), model("other", second));
    let mut house = House::start(&models, |_| {}).await.unwrap();
    let mut work = house.work("r-1", "m", "hi");
    let plan = &mut Arc::make_mut(&mut work.planning).plan;
    let other = Candidate {
        model: "other".to_owned(),
        ..plan.candidates[0].clone()
    };
    plan.candidates.push(other);
    plan.deadline = relay_clock::Clock::system().now().plus_ms(wait_ms);
    house.dispatch(&work).await.unwrap();
    house.outcome().await.unwrap()
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_given_up_while_the_next_candidate_has_time_and_not_asked_twice() {
    let blanks = Reply::json(200, "\n\n").then(BodyEnd::Silence);
    for hangs in [Reply::silence(), blanks] {
        let hangs = Scripted::start(vec![hangs]).await.unwrap();
        let sound = Scripted::start(vec![Reply::json(200, WHOLE)]).await.unwrap();
        let outcome = outcome_of_two(&hangs, &sound, 8_000).await;
        assert_eq!(completed(&outcome).model, "other");
        assert_eq!((hangs.asked().len(), sound.asked().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_whole_answer() {
    let mut scene = Scene::new(vec![Reply::silence()]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.planning).plan.deadline = relay_clock::Clock::system().now().plus_ms(3_000);
    let outcome = scene.run(&work).await;
    assert_eq!(outcome.status, OutcomeStatus::Expired);
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn a_whole_answer_that_breaks_off_is_asked_for_again_as_nothing_of_it_was_shown() {
    let half = Reply::json(200, r#"{"choices":[{"message":{"content":"half"#).then(BodyEnd::Cut);
    let mut scene = Scene::new(vec![half, Reply::json(200, WHOLE)]).await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert_eq!(scene.requests(), 2);
}

#[tokio::test]
async fn a_whole_answer_is_no_larger_than_answers_may_be() {
    let body = WHOLE.replace("hello", &"hello".repeat(100));
    let mut scene = Scene::with(vec![Reply::json(200, &body)], "/v1", "max_body: 300B").await;
    let outcome = scene.outcome().await;
    assert!(refused(&outcome).1.contains("too large"), "{outcome:?}");
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn a_proxy_that_cuts_a_silent_answer_is_not_asked_again_and_its_prompt_is_charged() {
    for status in [408, 504, 524] {
        let mut scene = Scene::new(vec![Reply::json(status, "{}"), Reply::json(200, WHOLE)]).await;
        let outcome = scene.outcome().await;
        assert_eq!(outcome.status, OutcomeStatus::Failed, "{status}");
        assert_eq!(scene.requests(), 1, "{status}");
        assert!(outcome.usage.prompt_tokens > TokenCount(0), "{status}");
        // It is no such sign of a stream.
        let replies = vec![
            Reply::json(status, "{}"),
            Reply::events(&[TEXT, STOP, USAGE, DONE]),
        ];
        let mut scene = Scene::with(replies, "/v1", "progress: true").await;
        assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    }
    let cuts = Scripted::start(vec![Reply::json(504, "{}")]).await.unwrap();
    let sound = Scripted::start(vec![Reply::json(200, WHOLE)]).await.unwrap();
    let outcome = outcome_of_two(&cuts, &sound, 60_000).await;
    assert_eq!(completed(&outcome).model, "other");
    assert_eq!(cuts.asked().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_complete_is_the_answer_however_its_connection_ends() {
    for end in [BodyEnd::Cut, BodyEnd::Silence] {
        let reply = Reply::json(200, WHOLE).then(end);
        let mut scene = Scene::with(vec![reply], "/v1", "idle_timeout: 50ms").await;
        let outcome = scene.outcome().await;
        assert_eq!(completed(&outcome).first_text(), "hello");
        assert_eq!(outcome.usage.completion_tokens, TokenCount(7));
        assert_eq!(scene.requests(), 1);
    }
}

/// Before, text, log-probabilities and the second choice went where the first field was long.
#[tokio::test]
async fn an_answer_that_is_too_large_is_cut_in_all_its_fields_and_choices() {
    let entry = r#"{"token":"a","logprob":-0.10}"#;
    let body = format!(
        r#"{{"choices":[{{"index":0,"message":{{"content":"{}","reasoning_content":"{}"}},"logprobs":{{"content":[{}]}},"finish_reason":"stop"}},
        {{"index":1,"message":{{"content":"second"}},"finish_reason":"stop"}}]}}"#,
        "t".repeat(3_000),
        "r".repeat(3_000),
        [entry; 100].join(",")
    );
    let endpoint = Scripted::start(vec![Reply::json(200, &body)]).await.unwrap();
    let models = format!(
        "models:\n  m: {{backend: openai, base_url: \"http://{}/v1\", upstream_model: u}}\n",
        endpoint.address()
    );
    let mut house = House::start(&models, |config| {
        config.max_answer = relay_settings::ByteSize::b(3_000);
    })
    .await
    .unwrap();
    let mut work = house.work("r-1", "m", "hi");
    Arc::make_mut(&mut work.request).body = r#"{"n":2,"logprobs":true}"#.to_owned();
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    let [first, second] = &completed(&outcome).choices[..] else {
        panic!("{outcome:?}")
    };
    let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    assert!(
        bytes(&first.message.text) > 500 && bytes(&first.message.reasoning) > 500,
        "{first:?}"
    );
    assert!(first.message.logprobs.len() > 10, "{first:?}");
    assert_eq!(first.finish_reason, Some(FinishReason::Length));
    assert_eq!(second.message.text.as_deref(), Some("second"));
}
