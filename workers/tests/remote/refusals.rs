//! An endpoint's refusals: when to come back, whether to ask again, and what the client sees of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_schemas::TimestampMs;
use relay_workers::testing::scripted::Reply;

use crate::scene::{DONE, STOP, Scene, TEXT, completed, refused};

#[tokio::test]
async fn a_refusal_that_names_a_time_tells_the_client_when_to_come_back() {
    for (status, header, value, least, most) in [
        (429, "retry-after", "30", 30_000, 30_000),
        (503, "retry-after", "30", 30_000, 30_000),
        (429, "retry-after-ms", "4500", 4_500, 4_500),
        (
            503,
            "retry-after",
            date(relay_clock::Clock::system().now().plus_ms(60_000)).as_str(),
            // Made before the others are through.
            1_000,
            60_000,
        ),
    ] {
        let reply = Reply::json(status, r#"{"error":{"message":"busy"}}"#).header(header, value);
        let mut scene = Scene::new(vec![reply]).await;
        let outcome = scene.outcome().await;
        let code = if status == 429 {
            "backend_busy"
        } else {
            "backend_unavailable"
        };
        assert_eq!(refused(&outcome).0, code);
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
    Arc::make_mut(&mut work.planning).plan.deadline = relay_clock::Clock::system().now().plus_ms(1_950);
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
async fn an_endpoint_without_capacity_that_says_no_time_may_be_asked_again() {
    for (status, body, wait) in [
        (503, r#"{"error":{"message":"busy"}}"#, Some(2_000)),
        (529, r#"{"error":{"message":"busy"}}"#, Some(2_000)),
        (500, "{}", None),
        (402, r#"{"error":{"code":"insufficient_quota"}}"#, None),
    ] {
        let mut scene = Scene::with(vec![Reply::json(status, body)], "/v1", "retries: 0").await;
        let outcome = scene.outcome().await;
        refused(&outcome);
        assert_eq!(outcome.retry_after_ms, wait, "{status}");
    }
}
