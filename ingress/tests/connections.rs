//! Connections that are held without being used.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::time::Duration;

use harness::Harness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PLENTY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn fifty_connections_that_say_nothing_do_not_keep_clients_out() {
    let harness = Harness::with(|config| {
        config.limits.max_connections = 8;
        config.timeouts.headers = Duration::from_secs(600);
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
