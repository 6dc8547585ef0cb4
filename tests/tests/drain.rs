//! What a drain finishes, what it cuts, and how each is told: to clients, to load balancers, and by the exit code.

use std::time::Duration;

use relay_tests::ask::{End, Manner, Observation, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use relay_tests::takeover::sum;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const PLENTY: Duration = Duration::from_secs(60);

/// Asks in the background.
fn asked(
    gateway: &Gateway,
    number: u64,
    manner: Manner,
    key: Option<&'static str>,
) -> JoinHandle<Observation> {
    let base = gateway.base_url.clone();
    tokio::spawn(async move {
        let prompt = unique_prompt(9_100_000 + number);
        ask(&http::client(), &base, "tenant-0", &prompt, manner, key).await
    })
}

/// Waits until so many requests have reached a worker.
async fn run(gateway: &Gateway, count: u64) {
    let in_flight = |text: &str| sum(text, "relay_workers_in_flight_requests{") == count;
    gateway.until("/metrics", in_flight).await.expect("they run");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_under_a_key_at_ctrl_c_ends_with_its_answer_streamed_and_not() {
    let mut gateway = Gateway::start(KILLABLE, &["--first-ms", "3000"])
        .await
        .expect("it starts");
    let asked = [
        asked(&gateway, 1, Manner::Streamed, Some("streamed")),
        asked(&gateway, 2, Manner::Whole, Some("whole")),
        asked(&gateway, 3, Manner::Streamed, None),
        asked(&gateway, 4, Manner::Whole, None),
    ];
    run(&gateway, 4).await;
    gateway.signal("INT");
    for asked in asked {
        let saw = asked.await.expect("the client ends");
        assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    }
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    assert_eq!(status.code(), Some(0), "all finished: {}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_is_not_ready_and_answers_until_a_second_signal_ends_it() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 2h\nlame_duck: 1h\n")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    gateway.signal("TERM");
    let draining = |text: &str| text.contains("\"draining\":true");
    gateway.until("/readyz", draining).await.expect("it says so");
    let ready = http::get(&format!("{}/readyz", gateway.base_url)).await;
    assert_eq!(ready.expect("it listens on").status(), 503);
    for (number, key) in [(1, None), (2, Some("key"))] {
        let saw = asked(&gateway, number, Manner::Streamed, key).await;
        let saw = saw.expect("the client ends");
        assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    }
    gateway.signal("TERM");
    let status = gateway.wait(PLENTY).expect("it does not wait");
    assert_eq!(status.code(), Some(1), "{}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_finish_in_time_is_told_so_and_the_exit_code_is_3() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--first-ms", "3600000"]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 300ms\n")
        .expect("it is configured");
    gateway
        .reconfigure("ingress: {", "ingress: { timeouts: { keep_alive: 50ms },")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let whole = asked(&gateway, 1, Manner::Whole, Some("whole"));
    let body =
        json!({"model": "mock", "stream": true, "messages": [{"role": "user", "content": "a stream"}]});
    let streamed = http::client()
        .post(format!("{}/v1/chat/completions", gateway.base_url))
        .json(&body)
        .send();
    let streamed = streamed.await.expect("its headers come with the first comment");
    run(&gateway, 2).await;
    gateway.signal("INT");
    let whole = whole.await.expect("the client ends");
    assert_eq!(whole.end, End::Status(503, "shutting_down".to_owned()));
    let streamed = streamed.text().await.expect("the stream ends in order");
    let event = streamed.trim_end().rsplit("\n\n").next().unwrap_or_default();
    assert!(
        event.starts_with("data: {\"error\":") && event.contains("\"shutting_down\""),
        "{streamed}"
    );
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    assert_eq!(status.code(), Some(3), "{}", gateway.tail());
    assert!(gateway.tail().contains("(`drain_timeout`)"), "{}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_under_a_key_is_answered_after_the_next_start() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--first-ms", "2000"]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 100ms\n")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let cut = asked(&gateway, 1, Manner::Whole, Some("key"));
    run(&gateway, 1).await;
    gateway.signal("TERM");
    let cut = cut.await.expect("the client ends");
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    // On a slow machine the answer may be there by then.
    if cut.end == End::Status(503, "shutting_down".to_owned()) {
        assert_eq!(status.code(), Some(3), "{}", gateway.tail());
    }
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let saw = asked(&gateway, 1, Manner::Whole, Some("key"))
        .await
        .expect("the client ends");
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_body_holds_no_drain_up_on_either_listener_and_the_exit_code_is_0() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 2h\n")
        .expect("it is configured");
    gateway
        .reconfigure(
            "ingress: {",
            "ingress: { timeouts: { headers: 2h, body: 2h, idle: 2h },",
        )
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let mut open = Vec::new();
    for url in [&gateway.base_url, &gateway.ops_url] {
        let address = url.strip_prefix("http://").expect("its address");
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n");
        for sent in [format!("{head}Content-Length: 100\r\n\r\n{{\"mode"), head] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(sent.as_bytes()).await.expect("it is sent");
            open.push(stream);
        }
    }
    let active = |text: &str| sum(text, "llm_gateway_active_requests") == 1;
    gateway
        .until("/metrics", active)
        .await
        .expect("it reads the body");
    gateway.signal("TERM");
    let status = gateway.wait(PLENTY).expect("nothing holds it up");
    assert_eq!(status.code(), Some(0), "{}", gateway.tail());
    let mut told = String::new();
    open[0]
        .read_to_string(&mut told)
        .await
        .expect("it is closed in order");
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.contains("x-should-retry: true"), "{told}");
}
