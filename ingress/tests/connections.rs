//! Connections that are held without being used, and requests that are begun and not ended.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::time::Duration;

use harness::Harness;
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
