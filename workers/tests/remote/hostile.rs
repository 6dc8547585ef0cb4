//! Endpoints that send too much, too deep, or something else.

use relay_workers::testing::scripted::{BodyEnd, Reply};

use crate::scene::{DONE, STOP, Scene, TEXT, completed, refused, streamed};

fn delta(members: &str) -> String {
    format!("{{\"choices\":[{{\"index\":0,\"delta\":{{{members}}}}}]}}")
}

#[tokio::test]
async fn fields_nested_thousands_of_levels_deep_end_a_request_and_not_the_process() {
    // Joining the two ended the process by its stack.
    let deep = |levels: usize, inside: &str| {
        let value = format!("{}\"{inside}\"{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        delta(&format!("\"content\":\"a\",\"x\":{value}"))
    };
    for levels in [100, 8_000, 150_000] {
        let events = [TEXT, &deep(levels, "p"), &deep(levels, "q"), STOP, DONE];
        let mut scene = Scene::new(vec![Reply::events(&events)]).await;
        let outcome = scene.outcome().await;
        let (code, message) = refused(&outcome);
        assert_eq!(code, "backend_error");
        assert!(message.contains("nested deeper than 64 levels"), "{message}");
        assert_eq!(outcome.answer.as_ref().unwrap().first_text(), "hello");
        assert!(scene.not_understood("failed") > 0.5);
    }
    let fine = [&deep(50, "p"), &deep(50, "q"), STOP, DONE];
    let answer = streamed(&fine).await;
    let extra = completed(&answer).choices[0].message.extra.as_ref().unwrap();
    assert!(extra.contains("\"pq\""), "{extra}");
}

#[tokio::test]
async fn chunks_with_a_message_instead_of_a_delta_lose_nothing() {
    let chunks = [
        r#"{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"message":{"content":" w"},"finish_reason":"stop"}]}"#,
    ];
    assert_eq!(completed(&streamed(&chunks).await).first_text(), "hello w");
    let both = r#"{"choices":[{"index":0,"delta":{},"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    assert_eq!(completed(&streamed(&[both]).await).first_text(), "hello");
    let body = r#"{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}"#;
    let outcome = Scene::new(vec![Reply::json(200, body)]).await.outcome().await;
    assert_eq!(completed(&outcome).first_text(), "hello");
}

#[tokio::test]
async fn fields_beside_the_answer_never_take_the_room_of_its_text_and_what_is_dropped_is_told() {
    let top = |name: &str, bytes: usize| {
        let value = "q".repeat(bytes);
        format!("{{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}}}}],\"{name}\":\"{value}\"}}")
    };
    let many: Vec<String> = (0..40).map(|nth| top(&format!("x_{nth}"), 100_000)).collect();
    let huge = vec![top("x_big", 3_000_000)];
    let usage = format!(
        "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":1,\"x\":\"{}\"}}}}",
        "q".repeat(3_000_000)
    );
    let usage = vec![delta("\"content\":\"a\""), usage];
    for (chunks, text, fields) in [
        (many, "a".repeat(40), 40),
        (huge, "a".to_owned(), 1),
        (usage, "a".to_owned(), 1),
    ] {
        let mut events: Vec<&str> = chunks.iter().map(String::as_str).collect();
        events.insert(1, STOP);
        events.push(DONE);
        let mut scene = Scene::with(vec![Reply::events(&events)], "/v1", "max_body: 16MiB").await;
        let outcome = scene.outcome().await;
        let answer = completed(&outcome);
        assert_eq!(answer.first_text(), text);
        let extra = answer.extra.as_deref().unwrap();
        assert!(
            extra.contains(&format!("\"relay_dropped\":{{\"fields\":{fields},")) && extra.len() < 1_000,
            "{extra}"
        );
        assert_eq!(answer.usage_details, None);
    }
}

#[tokio::test]
async fn an_unknown_field_of_a_message_that_does_not_fit_is_dropped_and_the_text_goes_on() {
    let big = delta(&format!(
        "\"content\":\"a\",\"x_big\":\"{}\"",
        "q".repeat(1_200_000)
    ));
    let outcome = streamed(&[&big, TEXT, STOP, DONE]).await;
    let answer = completed(&outcome);
    assert_eq!(answer.first_text(), "ahello");
    assert!(answer.extra.as_deref().unwrap().contains("relay_dropped"));
}

#[tokio::test]
async fn data_that_is_null_or_an_empty_list_is_passed_over() {
    let mut scene = Scene::new(vec![Reply::events(&["null", TEXT, "[]", STOP, DONE])]).await;
    assert_eq!(completed(&scene.outcome().await).first_text(), "hello");
    assert!((scene.not_understood("skipped") - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn choices_beyond_those_asked_for_are_passed_over_and_counted() {
    let other = r#"{"choices":[{"index":4294967295,"delta":{"content":"z"}},{"index":1,"delta":{"content":"z"},"finish_reason":"stop"}]}"#;
    let mut scene = Scene::new(vec![Reply::events(&[other, TEXT, STOP, DONE])]).await;
    let outcome = scene.outcome().await;
    let answer = completed(&outcome);
    assert_eq!((answer.choices.len(), answer.first_text()), (1, "hello"));
    assert!((scene.not_understood("skipped") - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn what_came_instead_of_an_answer_is_told_as_what_it_is() {
    let cases = [
        (
            Reply::events(&[TEXT, DONE]),
            "said `[DONE]` without a `finish_reason`",
        ),
        (Reply::events(&[TEXT]), "ended without a `finish_reason`"),
        (Reply::events(&[TEXT]).then(BodyEnd::Cut), "broke off"),
        (
            Reply::raw("text/html", "<html>login</html>"),
            "neither JSON nor a stream of events",
        ),
        (Reply::json(200, ""), "an empty body"),
        (
            Reply::json(200, r#"{"choices":[]}"#),
            "no choice that is finished",
        ),
    ];
    for (reply, said) in cases {
        let mut scene = Scene::with(vec![reply], "/v1", "retries: 0").await;
        let outcome = scene.outcome().await;
        let (code, message) = refused(&outcome);
        assert_eq!(code, "backend_error");
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn a_name_that_is_said_with_every_piece_is_said_once() {
    let pieces = [
        r#"{"name":"f","arguments":"{\"a\":"}"#,
        r#"{"name":"f","arguments":"1}"}"#,
    ]
    .map(|call| delta(&format!("\"x_id\":\"id1\",\"function_call\":{call}")));
    let outcome = streamed(&[&pieces[0], &pieces[1], STOP, DONE]).await;
    assert_eq!(
        completed(&outcome).choices[0].message.extra.as_deref(),
        Some(r#"{"x_id":"id1","function_call":{"name":"f","arguments":"{\"a\":1}"}}"#)
    );
}
