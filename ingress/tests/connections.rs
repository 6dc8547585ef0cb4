//! Connections that are held without being used, and requests that are begun and not ended.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::time::Duration;

use harness::{Harness, eventually};
use relay_settings::ByteSize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PLENTY: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(600);

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;

#[tokio::test]
async fn fifty_connections_that_say_nothing_do_not_keep_clients_out() {
    let harness = Harness::with(|config| {
        config.limits.max_connections = 8;
        config.timeouts.headers = NEVER;
    })
    .await;
    let mut held = Vec::new();
    for said in ["", "PRI * HT"].repeat(25) {
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let healthy = timeout(PLENTY, harness.get("/healthz")).await;
    assert_eq!(healthy.expect("it is answered").status, 200);
    drop(held);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_within_the_time_of_headers() {
    let harness = Harness::with(|config| config.timeouts.headers = Duration::from_millis(200)).await;
    let mut silent = TcpStream::connect(harness.address).await.unwrap();
    let closed = timeout(PLENTY, silent.read(&mut [0; 16])).await;
    assert!(matches!(closed.expect("it is closed"), Ok(0) | Err(_)));
}

/// The head of an upload of that many bytes, of which one comes and no more.
async fn unfinished(harness: &Harness, tenant: &str, bytes: usize) -> harness::client::Open {
    let length = bytes.to_string();
    let headers = [("x-tenant-id", tenant), ("content-length", &length)];
    harness.open(&headers, "{").await
}

#[tokio::test]
async fn unfinished_uploads_hold_no_more_than_their_tenants_bytes_and_keep_nobody_else_out() {
    let harness = Harness::with(|config| config.timeouts.body = NEVER).await;
    let (uploads, each) = (150, 960 << 10);
    let fit = (64 << 20) / each;
    let mut refused = tokio::task::JoinSet::new();
    for _ in 0..uploads {
        refused.spawn(unfinished(&harness, "hog", each).await.rest());
    }
    for _ in fit..uploads {
        let next = timeout(PLENTY, refused.join_next()).await;
        let response = next.expect("it is refused").unwrap().unwrap();
        assert_eq!(
            (
                response.status,
                response.code().as_str(),
                response.header("retry-after")
            ),
            (429, "too_many_bytes_in_flight", Some("1"))
        );
    }
    assert!(refused.try_join_next().is_none(), "the others are being read");
    let _light = harness.open(&[("x-tenant-id", "light")], WHOLE).await;
    assert_eq!(harness.accepted().await.tenant.as_str(), "light");
}

#[tokio::test]
async fn bytes_of_all_tenants_are_bounded_as_well_and_those_of_no_length_as_they_come() {
    let harness = Harness::with(|config| {
        config.limits.max_body = ByteSize::b(1_000);
        config.limits.max_bodies = ByteSize::b(1_000);
        config.timeouts.body = NEVER;
    })
    .await;
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let mut uploads = tokio::task::JoinSet::new();
    for tenant in ["a", "b"] {
        let (address, chunk) = (harness.address, chunk.clone());
        uploads.spawn(async move {
            let headers = [("transfer-encoding", "chunked"), ("x-tenant-id", tenant)];
            harness::client::send_raw(address, "/v1/chat/completions", &headers, &chunk).await
        });
    }
    let next = timeout(PLENTY, uploads.join_next()).await;
    let second = next.expect("it is refused").unwrap().unwrap();
    assert_eq!(
        (second.status, second.code().as_str()),
        (429, "too_many_bytes_in_flight")
    );
    assert!(second.text().contains("the gateway"), "{}", second.text());
}

#[tokio::test]
async fn what_waits_for_its_answer_takes_no_room_of_bodies() {
    let harness = Harness::with(|config| {
        config.limits.max_body = ByteSize::b(WHOLE.len() as u64);
        config.limits.max_bodies = ByteSize::b(1);
        config.limits.max_bodies_per_tenant = ByteSize::b(1);
    })
    .await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(harness.open(&[], WHOLE).await);
        harness.accepted().await;
    }
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_a_large_body_is_told_so() {
    let harness = Harness::with(|config| config.limits.max_in_flight_per_tenant = 1).await;
    let _first = harness.open(&[], WHOLE).await;
    harness.accepted().await;
    let response = harness.chat(&[], &"x".repeat(960 << 10)).await;
    assert_eq!(response.status, 429);
}

/// Waits until so many requests are being read or answered.
async fn active(harness: &Harness, count: f64) {
    eventually(async || {
        let active = harness.metric("llm_gateway_active_requests").await;
        (active == Some(count)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_half_sent_when_a_drain_begins_is_turned_away_holds_nothing_up_and_counts_as_nothing_cut() {
    let mut harness = Harness::with(|config| {
        config.timeouts.body = NEVER;
        config.timeouts.headers = NEVER;
        config.timeouts.idle = NEVER;
    })
    .await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: relay\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n6\r\n{{\"mode\r\n");
    let announced = format!("{head}Content-Length: 100\r\n\r\n{{\"mode");
    let expecting = format!("{head}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    let mut bodies = Vec::new();
    for sent in [&announced, &chunked, &expecting] {
        bodies.push(said(&harness, sent).await);
    }
    let mut silent = vec![said(&harness, "").await, said(&harness, head).await];
    let mut kept = said(&harness, "GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n").await;
    let read = timeout(PLENTY, kept.read(&mut [0; 512])).await;
    assert!(read.expect("it is answered").unwrap() > 0);
    silent.push(kept);
    active(&harness, 3.0).await;
    harness.runtime.shutdown.drain();
    for mut body in bodies {
        let told = rest(&mut body).await;
        let told = told.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
        for part in [
            "retry-after: 1\r\n",
            "x-should-retry: true\r\n",
            "connection: close\r\n",
            "service_unavailable",
        ] {
            assert!(told.contains(part), "{part:?} in {told}");
        }
    }
    for mut silent in silent {
        assert_eq!(rest(&mut silent).await, "", "it asked for nothing");
    }
    let ended = timeout(PLENTY, &mut harness.running).await;
    ended.expect("nothing holds it up").unwrap().unwrap();
    assert_eq!(harness.runtime.shutdown.count_cut(), 0);
}

#[tokio::test]
async fn a_body_that_is_half_sent_when_the_end_is_due_at_once_is_told_so_too() {
    let mut harness = Harness::with(|config| config.timeouts.body = NEVER).await;
    let upload = unfinished(&harness, "a", 100).await;
    active(&harness, 1.0).await;
    harness.runtime.shutdown.stop();
    let told = upload.rest().await;
    assert_eq!((told.status, told.code().as_str()), (503, "service_unavailable"));
    let ended = timeout(PLENTY, &mut harness.running).await;
    ended.expect("nothing holds it up").unwrap().unwrap();
    assert_eq!(harness.runtime.shutdown.count_cut(), 0);
}

/// A connection on which that was sent.
async fn said(harness: &Harness, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until it is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PLENTY, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("it is closed");
    String::from_utf8(bytes).unwrap()
}
