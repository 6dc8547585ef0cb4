//! What Ctrl-C does, once and twice. (SIGTERM takes the same way.)

use std::time::{Duration, Instant};

use relay_tests::ask::{End, Manner, Saw, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use tokio::task::JoinHandle;

/// A gateway at work: a stream that begins after `first_ms`, and whose request has reached a worker.
async fn at_work(first_ms: &str) -> (Gateway, JoinHandle<Saw>) {
    let gateway = Gateway::start(KILLABLE, &["--first-ms", first_ms])
        .await
        .expect("it starts");
    let base = gateway.base_url.clone();
    let prompt = unique_prompt(9_000_000);
    let asked = tokio::spawn(async move {
        ask(
            &http::client(),
            &base,
            "tenant-0",
            &prompt,
            Manner::Streamed,
            None,
        )
        .await
    });
    until(&gateway, "/metrics", |text| {
        let held = text
            .lines()
            .filter(|line| line.starts_with("relay_workers_in_flight_requests{"));
        held.clone().any(|line| !line.ends_with(" 0"))
    })
    .await;
    (gateway, asked)
}

/// Waits until the operators' listener says so.
async fn until(gateway: &Gateway, path: &str, so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let response = http::get(&format!("{}{path}", gateway.ops_url)).await;
        let text = response.expect("it answers").text().await.expect("as text");
        if so(&text) {
            return;
        }
        assert!(Instant::now() < deadline, "{path} never said so: {text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_lets_a_stream_in_flight_finish_and_ends_with_success() {
    let (mut gateway, asked) = at_work("1000").await;
    gateway.terminate();
    assert_eq!(
        asked.await.expect("the client ends").end,
        End::Finished("stop".to_owned())
    );
    let status = gateway.wait(Duration::from_secs(20)).expect("it ends by itself");
    assert!(status.success(), "{status}: {}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_says_that_it_was_no_drain() {
    let (mut gateway, asked) = at_work("60000").await;
    gateway.terminate();
    until(&gateway, "/readyz", |text| text.contains("\"draining\":true")).await;
    gateway.terminate();
    let status = gateway.wait(Duration::from_secs(10)).expect("it does not wait");
    assert_eq!(status.code(), Some(1), "{}", gateway.tail());
    assert!(gateway.tail().contains("stopped before the drain was over"));
    let saw = asked.await.expect("the client ends");
    assert!(!matches!(saw.end, End::Finished(_)), "{saw:?}");
}
