//! Endpoints as loose as there are, in front of the whole service: leased work in, outcomes and frames out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use relay_lifecycle::Transcript;
use relay_schemas::{Answer, FinishReason, Operation, Outcome, OutcomeStatus, TimestampMs, TokenCount, Work};
use relay_workers::testing::House;
use relay_workers::testing::scripted::{Reply, Scripted, Then};

/// A worker in front of an endpoint that gives these replies.
struct Scene {
    house: House,
    endpoint: Scripted,
}

const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}"#;
const DONE: &str = "[DONE]";

impl Scene {
    async fn new(replies: Vec<Reply>) -> Self {
        Self::with_url(replies, "/v1").await
    }

    async fn with_url(replies: Vec<Reply>, behind: &str) -> Self {
        let endpoint = Scripted::start(replies).await.unwrap();
        let models = format!(
            "models:\n  m:\n    backend: openai\n    base_url: \"http://{}{behind}\"\n    upstream_model: theirs\n    \
             api_key_env: PATH\n",
            endpoint.address()
        );
        let house = House::start(&models, |_| {}).await.unwrap();
        Self { house, endpoint }
    }

    fn work(&self) -> Work {
        self.house.work("r-1", "m", "hi")
    }

    async fn run(&mut self, work: &Work) -> Outcome {
        self.house.dispatch(work).await.unwrap();
        self.house.outcome().await.unwrap()
    }

    /// The outcome of a chat.
    async fn outcome(&mut self) -> Outcome {
        let work = self.work();
        self.run(&work).await
    }

    fn requests(&self) -> usize {
        self.endpoint.asked().len()
    }

    fn not_understood(&self, effect: &str) -> f64 {
        let families = self.house.runtime.metrics.gather();
        let of = families
            .iter()
            .filter(|family| family.name() == "relay_workers_chunks_not_understood_total");
        of.flat_map(prometheus::proto::MetricFamily::get_metric)
            .filter(|metric| metric.get_label()[0].value() == effect)
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }
}

/// The outcome of a chat whose endpoint streams these events.
async fn streamed(events: &[&str]) -> Outcome {
    let mut scene = Scene::new(vec![Reply::events(events)]).await;
    let outcome = scene.outcome().await;
    assert_eq!(scene.requests(), 1, "asked and paid once");
    outcome
}

fn completed(outcome: &Outcome) -> &Answer {
    assert_eq!(outcome.status, OutcomeStatus::Completed, "{:?}", outcome.message);
    outcome.answer.as_ref().unwrap()
}

fn refused(outcome: &Outcome) -> (&str, &str) {
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    (
        outcome.code.as_deref().unwrap(),
        outcome.message.as_deref().unwrap(),
    )
}

#[tokio::test]
async fn usage_that_is_null_or_empty_or_without_counts_counts_nothing_and_loses_nothing() {
    for usage in ["null", "{}", r#"{"total_tokens":null}"#, r#""none""#] {
        let chunk = format!("{{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\"usage\":{usage}}}");
        let outcome = streamed(&[&chunk, STOP, DONE]).await;
        assert_eq!(completed(&outcome).first_text(), "a", "{usage}");
        assert_eq!(
            outcome.usage.completion_tokens,
            TokenCount(1),
            "a token a piece: {usage}"
        );
    }
    let outcome = streamed(&[TEXT, STOP, USAGE, r#"{"choices":[],"usage":null}"#, DONE]).await;
    assert_eq!(outcome.usage.completion_tokens, TokenCount(7));
}

#[tokio::test]
async fn choices_and_deltas_that_are_null_say_nothing() {
    let events = [
        r#"{"choices":null}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":null,"role":"assistant"}}]}"#,
        TEXT,
        STOP,
        DONE,
    ];
    assert_eq!(completed(&streamed(&events).await).first_text(), "hello");
}

#[tokio::test]
async fn content_may_be_a_list_of_parts() {
    let parts =
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]}}]}"#;
    assert_eq!(
        completed(&streamed(&[parts, STOP, DONE]).await).first_text(),
        "hello"
    );
}

#[tokio::test]
async fn a_reason_that_is_empty_or_says_null_is_no_end() {
    for reason in ["", "null"] {
        let chunk = |text: &str| {
            format!(
                "{{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":\"{reason}\"}}]}}"
            )
        };
        let cut = Reply::events(&[&chunk("half "), &chunk("an answer")]).then(Then::Cut);
        let outcome = Scene::new(vec![cut]).await.outcome().await;
        assert_eq!(
            refused(&outcome).0,
            "backend_error",
            "half an answer is not finished"
        );
        assert_eq!(outcome.answer.unwrap().first_text(), "half an answer");
        let whole = streamed(&[&chunk("all "), &chunk("of it"), STOP, DONE]).await;
        assert_eq!(completed(&whole).first_text(), "all of it");
    }
}

#[tokio::test]
async fn an_answer_that_said_its_end_is_complete_whatever_follows() {
    for then in [Then::End, Then::Cut, Then::Silence, Then::Pings] {
        for events in [&[TEXT, STOP, USAGE][..], &[TEXT, STOP]] {
            let mut scene = Scene::new(vec![Reply::events(events).then(then)]).await;
            let began = Instant::now();
            let outcome = scene.outcome().await;
            let answer = completed(&outcome);
            assert_eq!(
                answer.choices[0].finish_reason,
                Some(FinishReason::Stop),
                "{then:?}"
            );
            assert_eq!(answer.first_text(), "hello");
            let counted = if events.len() == 3 { 7 } else { 1 };
            assert_eq!(outcome.usage.completion_tokens, TokenCount(counted));
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{then:?}: {:?}",
                began.elapsed()
            );
            assert_eq!(scene.requests(), 1, "{then:?}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_a_stream_with_one_body_is_asked_and_paid_once() {
    let body = r#" {"id":"x","object":"chat.completion","model":"m-2","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10},"service_tier":"flex"}"#;
    for reply in [Reply::json(200, body), Reply::raw("text/event-stream", body)] {
        let mut scene = Scene::new(vec![reply]).await;
        let mut work = scene.work();
        work.request.stream = true;
        let mut frames = scene.house.listen(&mut work).await.unwrap();
        let outcome = scene.run(&work).await;
        let answer = completed(&outcome);
        assert_eq!(
            (answer.first_text(), answer.model_version.as_str()),
            ("hello", "m-2")
        );
        assert_eq!(answer.extra.as_deref(), Some(r#"{"service_tier":"flex"}"#));
        assert_eq!(outcome.usage.completion_tokens, TokenCount(7));
        let mut shown = Transcript::default();
        for frame in frames.all().await.unwrap() {
            shown.apply(&frame);
        }
        assert_eq!(shown.choices(), answer.choices);
        assert_eq!(scene.requests(), 1);
    }
}

#[tokio::test]
async fn a_body_that_broke_off_or_says_nothing_is_a_failure_that_is_not_paid_for_again() {
    for body in [r#"{"id":"x"}"#, r#"{"choices":[{"message":{"content":"half"#] {
        let mut scene = Scene::new(vec![Reply::json(200, body)]).await;
        assert_eq!(refused(&scene.outcome().await).0, "backend_error");
        assert_eq!(scene.requests(), 1, "{body}");
        assert!((scene.not_understood("failed") - 1.0).abs() < 0.1);
    }
}

#[tokio::test]
async fn errors_without_a_wrapper_inside_a_200_are_told_as_what_they_are() {
    let bad = r#"{"message":"`top_k` is not known here","type":"invalid_request_error","code":400}"#;
    for reply in [
        Reply::events(&[bad]),
        Reply::json(200, bad),
        Reply::json(200, &format!("[{{\"error\":{bad}}}]")),
    ] {
        let mut scene = Scene::new(vec![reply]).await;
        let outcome = scene.outcome().await;
        let (code, message) = refused(&outcome);
        assert_eq!(code, "invalid_request");
        assert!(message.contains("`top_k` is not known here"), "{message}");
        assert_eq!(scene.requests(), 1, "it cannot pass");
    }
    let overloaded = Reply::events(&[r#"{"object":"error","message":"busy","type":"overloaded_error"}"#]);
    let mut scene = Scene::new(vec![overloaded, Reply::events(&[TEXT, STOP, DONE])]).await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert_eq!(scene.requests(), 2, "it may pass");
    let failed = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#;
    let mut scene = Scene::new(vec![Reply::events(&[failed]), Reply::events(&[TEXT, STOP, DONE])]).await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
}

#[tokio::test]
async fn endless_pings_without_an_end_end_at_the_deadline() {
    let mut scene = Scene::new(vec![Reply::events(&[TEXT]).then(Then::Pings)]).await;
    let mut work = scene.work();
    work.planning.plan.deadline = TimestampMs::now().plus_ms(400);
    let outcome = scene.run(&work).await;
    assert_eq!(outcome.status, OutcomeStatus::Expired);
    assert_eq!(outcome.answer.unwrap().first_text(), "hello");
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn a_chunk_that_cannot_be_understood_is_counted_and_skipped_where_no_text_can_be_lost() {
    let events = [
        r#"{"type":"ping"}"#,
        TEXT,
        r#"{"x_metrics":{"a":1}}"#,
        STOP,
        "garbage behind the end",
        DONE,
    ];
    let mut scene = Scene::new(vec![Reply::events(&events)]).await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert!((scene.not_understood("skipped") - 3.0).abs() < 0.1);
    let events = [TEXT, r#"{"choices":[{"delta":{"content":"cut of"#, STOP, DONE];
    let mut scene = Scene::new(vec![Reply::events(&events)]).await;
    let outcome = scene.outcome().await;
    assert_eq!(refused(&outcome).0, "backend_error", "text may be missing");
    assert_eq!(outcome.answer.unwrap().first_text(), "hello");
    assert!((scene.not_understood("failed") - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_refusal_that_names_a_time_tells_the_client_when_to_come_back() {
    for (status, header, value, least, most) in [
        (429, "retry-after", "30", 30_000, 30_000),
        (503, "retry-after", "30", 30_000, 30_000),
        (429, "retry-after-ms", "4500", 4_500, 4_500),
        (
            503,
            "retry-after",
            date(TimestampMs::now().plus_ms(60_000)).as_str(),
            50_000,
            60_000,
        ),
    ] {
        let reply = Reply::json(status, r#"{"error":{"message":"busy"}}"#).header(header, value);
        let mut scene = Scene::new(vec![reply]).await;
        let outcome = scene.outcome().await;
        assert_eq!(refused(&outcome).0, "backend_unavailable");
        let wait = outcome.retry_after_ms.unwrap();
        assert!((least..=most).contains(&wait), "{status} {value}: {wait}");
        assert_eq!(scene.requests(), 1, "the wait is longer than the retries");
    }
}

/// As HTTP writes dates.
fn date(at: TimestampMs) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn a_short_wait_is_waited_for_and_then_the_endpoint_is_asked_again() {
    let busy = Reply::json(429, "{}").header("retry-after", "1");
    let mut scene = Scene::new(vec![busy, Reply::events(&[TEXT, STOP, DONE])]).await;
    let began = Instant::now();
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(scene.requests(), 2);
}

#[tokio::test]
async fn a_wait_that_outlasts_the_deadline_is_told_at_once() {
    let busy = Reply::json(503, "{}").header("retry-after", "2");
    let mut scene = Scene::new(vec![busy]).await;
    let mut work = scene.work();
    work.planning.plan.deadline = TimestampMs::now().plus_ms(1_500);
    let outcome = scene.run(&work).await;
    assert_eq!(
        (refused(&outcome).0, outcome.retry_after_ms),
        ("backend_unavailable", Some(2_000))
    );
    assert_eq!(scene.requests(), 1);
}

#[tokio::test]
async fn a_client_sees_what_the_endpoint_says_of_its_request_but_neither_key_nor_address() {
    let key = std::env::var("PATH").unwrap();
    let body = serde_json::json!({"error": {
        "message": format!("`messages[0]` is odd; {} at http://{{address}}/v1 {}", key.trim(), "€".repeat(2_000)),
        "type": "invalid_request_error",
    }});
    let mut scene = Scene::new(vec![Reply::json(400, &body.to_string())]).await;
    let outcome = scene.outcome().await;
    let (code, message) = refused(&outcome);
    assert_eq!(code, "invalid_request");
    assert!(message.contains("`messages[0]` is odd"), "{message}");
    assert!(
        !message.contains(key.trim()) && !message.contains("127.0.0.1"),
        "{message}"
    );
    assert!(message.chars().count() < 700, "{message}");
}

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
async fn what_goes_upstream_is_what_the_client_sent_but_for_what_the_plan_says() {
    let mut scene = Scene::new(vec![Reply::events(&[TEXT, STOP, DONE])]).await;
    let mut work = scene.work();
    work.request.body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5000,
        "seed_of_theirs":9007199254740993,"huge":1e400,"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}]}"#
        .to_owned();
    completed(&scene.run(&work).await);
    assert_eq!(
        scene.endpoint.asked()[0].body,
        concat!(
            r#"{"model":"theirs","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":1000,"#,
            r#""seed_of_theirs":9007199254740993,"huge":1e400,"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}],"#,
            r#""temperature":0.0,"stream":true,"stream_options":{"include_usage":true}}"#
        )
    );
}

/// A streamed chat: the outcome, and what its frames say together.
async fn shown(events: &[&str], body: &str) -> (Outcome, Transcript) {
    let mut scene = Scene::new(vec![Reply::events(events)]).await;
    let mut work = scene.work();
    work.request.stream = true;
    work.request.body = body.to_owned();
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
async fn a_choice_that_is_cut_is_not_finished_because_another_one_is() {
    let half = r#"{"choices":[{"index":1,"delta":{"content":"half"}}]}"#;
    let cut = Reply::events(&[TEXT, half, STOP]).then(Then::Cut);
    let mut scene = Scene::new(vec![cut]).await;
    let mut work = scene.work();
    work.request.body = r#"{"n":2}"#.to_owned();
    let outcome = scene.run(&work).await;
    assert_eq!(refused(&outcome).0, "backend_error");
    assert_eq!(outcome.answer.unwrap().choices[1].finish_reason, None);
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
    work.request.operation = Operation::Completion;
    work.request.body = r#"{"model":"m","prompt":["x"],"max_tokens":9}"#.to_owned();
    let outcome = scene.run(&work).await;
    let choice = &completed(&outcome).choices[0];
    assert_eq!(choice.message.text.as_deref(), Some("once upon"));
    assert_eq!(choice.finish_reason, Some(FinishReason::Length));
    assert_eq!(
        choice.extra.as_deref(),
        Some(r#"{"logprobs":{"tokens":["once "],"token_logprobs":[-0.10]}}"#)
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
    work.request.operation = Operation::Embedding;
    work.request.body = r#"{"model":"m","input":["a","b"]}"#.to_owned();
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
        config.max_answer = relay_settings::ByteSize::b(1_000)
    })
    .await
    .unwrap();
    let mut work = house.work("r-1", "m", "x");
    work.request.operation = Operation::Embedding;
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    let (code, message) = refused(&outcome);
    assert!(
        code == "invalid_request" && message.contains("ask for fewer at once"),
        "{message}"
    );
}
