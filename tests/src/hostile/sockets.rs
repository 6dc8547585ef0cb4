//! Connections that hold what they do not use.

use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::client::TENANT;
use crate::gateway::Gateway;

/// Connections with closed windows, and what each asks for at once, three times.
const CLOSED: usize = 4;
const ANSWERS: usize = 30;
/// More connections than the gateway has places for.
const SILENT: usize = 400;
/// All but the last byte of each is sent.
const UPLOADS: usize = 150;
const UPLOAD: usize = 960_000;
/// Until one that was closed comes again.
const AGAIN: Duration = Duration::from_secs(3);

fn address(base: &str) -> String {
    base.trim_start_matches("http://").to_owned()
}

/// Asks over HTTP/2 and lets nothing of the answers come.
pub fn closed_windows(base: &str, running: &mut JoinSet<()>) {
    for _ in 0..CLOSED {
        let address = address(base);
        running.spawn(async move {
            loop {
                // What ends it is that the gateway has had enough.
                let _ = closed_window(&address).await;
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

async fn closed_window(address: &str) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await?;
    let body = json!({"model": "mock", "temperature": 1, "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]});
    let body = Bytes::from(body.to_string());
    let asking = async {
        let mut held = Vec::new();
        for _ in 0..3 {
            for _ in 0..ANSWERS {
                client = client.clone().ready().await?;
                let request = Request::post("http://relay/v1/chat/completions")
                    .header("x-tenant-id", TENANT)
                    .header("content-type", "application/json")
                    .body(())?;
                let (response, mut sender) = client.send_request(request, false)?;
                sender.send_data(body.clone(), true)?;
                // Dropped it would be cancelled.
                held.push(response);
            }
            tokio::time::sleep(AGAIN).await;
        }
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        ended = connection => Ok(ended?),
        failed = asking => failed,
    }
}

/// Takes all places for connections, on both listeners, and says nothing, or half of something.
pub fn silent(gateway: &Gateway, running: &mut JoinSet<()>) {
    for number in 0..SILENT {
        let listener = [&gateway.base_url, &gateway.base_url, &gateway.ops_url][number % 3];
        let said = [
            "",
            "PRI * HT",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "POST /v1/chat",
        ][number % 4];
        held(running, address(listener), said.into());
    }
}

/// Uploads large bodies, but for their last bytes.
pub fn unfinished(base: &str, running: &mut JoinSet<()>) {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: relay\r\nx-tenant-id: {TENANT}\r\ncontent-type: application/json\r\n\
         content-length: {UPLOAD}\r\n\r\n"
    );
    let said = Bytes::from([head.as_bytes(), &vec![b' '; UPLOAD - 1]].concat());
    for _ in 0..UPLOADS {
        held(running, address(base), said.clone());
    }
}

/// A connection on which `said` is all that is ever sent; another one when it is closed.
fn held(running: &mut JoinSet<()>, address: String, said: Bytes) {
    running.spawn(async move {
        loop {
            if let Ok(mut stream) = TcpStream::connect(&address).await
                && stream.write_all(&said).await.is_ok()
            {
                let mut told = Vec::new();
                let _ = stream.read_to_end(&mut told).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
}
