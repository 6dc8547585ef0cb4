//! Endpoints write chunks more loosely than the API has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_lifecycle::Transcript;
use relay_schemas::{FinishReason, Operation, Outcome, OutcomeStatus, TokenCount};
use relay_workers::testing::scripted::{BodyEnd, Reply};

use crate::scene::{DONE, STOP, Scene, TEXT, USAGE, completed, refused, streamed};

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
        let cut = Reply::events(&[&chunk("half "), &chunk("an answer")]).then(BodyEnd::Cut);
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
    for then in [BodyEnd::End, BodyEnd::Cut, BodyEnd::Silence, BodyEnd::Pings] {
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
                began.elapsed() < Duration::from_secs(20),
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
        Arc::make_mut(&mut work.request).stream = true;
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
async fn pings_behind_a_complete_answer_do_not_make_it_too_large() {
    let reply = Reply::events(&[TEXT, STOP]).then(BodyEnd::Pings);
    let mut scene = Scene::with(vec![reply.clone()], "/v1", "max_body: 300B").await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    // What is read is more than an answer may be, and not complete.
    let unended = Reply::events(&[TEXT]).then(BodyEnd::Pings);
    let mut scene = Scene::with(vec![unended], "/v1", "max_body: 300B").await;
    let outcome = scene.outcome().await;
    assert!(refused(&outcome).1.contains("too large"), "{outcome:?}");
}

#[tokio::test]
async fn endless_pings_without_an_end_end_at_the_deadline() {
    let mut scene = Scene::new(vec![Reply::events(&[TEXT]).then(BodyEnd::Pings)]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.planning).plan.deadline = relay_clock::Clock::system().now().plus_ms(3_000);
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
async fn a_choice_that_is_cut_is_not_finished_because_another_one_is() {
    let half = r#"{"choices":[{"index":1,"delta":{"content":"half"}}]}"#;
    let cut = Reply::events(&[TEXT, half, STOP]).then(BodyEnd::Cut);
    let mut scene = Scene::new(vec![cut]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).body = r#"{"n":2}"#.to_owned();
    let outcome = scene.run(&work).await;
    assert_eq!(refused(&outcome).0, "backend_error");
    assert_eq!(outcome.answer.unwrap().choices[1].finish_reason, None);
}

/// The outcome where two choices were asked for, by `body`.
async fn of_two(reply: Reply, body: &str, operation: Operation) -> Outcome {
    let mut scene = Scene::new(vec![reply]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).operation = operation;
    body.clone_into(&mut Arc::make_mut(&mut work.request).body);
    scene.run(&work).await
}

#[tokio::test]
async fn a_choice_that_was_asked_for_and_never_began_is_missed() {
    for (body, operation) in [
        (r#"{"n":2}"#, Operation::Chat),
        (r#"{"n":2.0}"#, Operation::Chat),
        (r#"{"prompt":["a","b"]}"#, Operation::Completion),
    ] {
        for then in [BodyEnd::Cut, BodyEnd::End] {
            let cut = Reply::events(&[TEXT, STOP]).then(then);
            let outcome = of_two(cut, body, operation).await;
            assert_eq!(refused(&outcome).0, "backend_error", "{body}");
        }
    }
    let unreadable = r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":5}}]}"#;
    let outcome = of_two(Reply::json(200, unreadable), r#"{"n":2}"#, Operation::Chat).await;
    assert_eq!(refused(&outcome).0, "backend_error");
}

#[tokio::test]
async fn a_choice_that_begins_long_after_the_others_end_is_waited_for() {
    let late = "data: {\"choices\":[{\"index\":1,\"text\":\"world\",\"finish_reason\":\"stop\"}]}\n\n";
    let reply = Reply::events(&[TEXT, STOP]).then(BodyEnd::Late(late));
    let outcome = of_two(reply, r#"{"prompt":["a","b"]}"#, Operation::Completion).await;
    assert_eq!(completed(&outcome).choices.len(), 2);
}

#[tokio::test]
async fn an_answer_that_lacks_choices_that_were_asked_for_is_an_error_that_says_so() {
    let whole = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    for reply in [
        Reply::events(&[TEXT, STOP, DONE]),
        Reply::events(&[TEXT, STOP]),
        Reply::json(200, whole),
    ] {
        for (body, operation) in [
            (r#"{"n":2}"#, Operation::Chat),
            (r#"{"prompt":["a","b"]}"#, Operation::Completion),
        ] {
            let outcome = of_two(reply.clone(), body, operation).await;
            let (code, message) = refused(&outcome);
            assert_eq!(code, "backend_error");
            assert!(message.contains("1 of the 2 choices"), "{message}");
            assert_eq!(outcome.answer.as_ref().unwrap().first_text(), "hello");
        }
    }
}

#[tokio::test]
async fn a_vector_that_is_missing_is_missed() {
    let body = r#"{"data":[{"index":0,"embedding":[0.5]}]}"#;
    let asked = r#"{"model":"m","input":["a","b"]}"#;
    let outcome = of_two(Reply::json(200, body), asked, Operation::Embedding).await;
    assert_eq!(refused(&outcome).0, "backend_error");
    assert_eq!(outcome.answer, None);
}

#[tokio::test]
async fn a_field_that_no_streamed_message_has_room_for_is_refused_with_its_size_and_only_where_it_is_streamed()
 {
    // A little less than an answer may hold, and more than a frame has room for.
    let theirs = "x".repeat(1_048_476);
    let chunk = format!("{{\"choices\":[{{\"delta\":{{\"content\":\"a\",\"theirs\":\"{theirs}\"}}}}]}}");
    for is_streamed in [true, false] {
        let mut scene = Scene::new(vec![Reply::events(&[&chunk, STOP, DONE])]).await;
        let mut work = scene.work();
        Arc::make_mut(&mut work.request).stream = is_streamed;
        let _frames = scene.house.listen(&mut work).await.unwrap();
        let outcome = scene.run(&work).await;
        if is_streamed {
            let (code, message) = refused(&outcome);
            assert_eq!(code, "backend_error");
            assert!(
                message.contains("1048553 bytes") && message.contains("without streaming"),
                "{message}"
            );
        } else {
            completed(&outcome);
        }
        assert_eq!(scene.requests(), 1, "asked and paid once");
    }
}

#[tokio::test]
async fn what_came_with_a_field_that_no_streamed_message_has_room_for_and_before_it_is_shown() {
    let theirs = "x".repeat(1_048_476);
    let other = format!(r#"{{"index":1,"delta":{{"content":"b","theirs":"{theirs}"}}}}"#);
    let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"hello"}}}},{other}]}}"#);
    let mut scene = Scene::new(vec![Reply::events(&[&chunk, STOP, DONE])]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).stream = true;
    Arc::make_mut(&mut work.request).body = r#"{"n":2}"#.to_owned();
    let _frames = scene.house.listen(&mut work).await.unwrap();
    let outcome = scene.run(&work).await;
    assert!(refused(&outcome).1.contains("without streaming"));
    assert_eq!(outcome.answer.unwrap().first_text(), "hello");
}

#[tokio::test]
async fn vectors_for_something_else_than_what_was_sent_are_no_answer() {
    let body = r#"{"data":[{"index":0,"embedding":[1]},{"index":7,"embedding":[2]}]}"#;
    let mut scene = Scene::new(vec![Reply::json(200, body)]).await;
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).operation = Operation::Embedding;
    Arc::make_mut(&mut work.request).body = r#"{"model":"m","input":["a","b"]}"#.to_owned();
    let outcome = scene.run(&work).await;
    let (code, message) = refused(&outcome);
    assert_eq!(code, "backend_error");
    assert!(message.contains("one for each text"), "{message}");
}
