//! `relay healthcheck`: whether a running Relay answers, for images that hold no shell and no `curl`.

use std::io::{Error, Result};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::ops::OpsConfig;

/// Longest first line of an answer that is looked at.
const LINE: u64 = 1_024;

/// Asks the operators' listener for `/healthz`. Not for `/readyz`: what restarts unhealthy containers would restart all of
/// them whenever Kafka is away.
pub async fn run(ops: &OpsConfig, timeout: Duration) -> anyhow::Result<()> {
    let (host, port) = ops.to_ask();
    let asked = ask(host, port, timeout).await;
    asked.with_context(|| {
        format!("no health from the operators' listener at {host}:{port} (`ops.port`, --admin-port)")
    })
}

async fn ask(host: &str, port: u16, timeout: Duration) -> Result<()> {
    let mut connected = false;
    let asking = async {
        let stream = TcpStream::connect((host, port)).await?;
        connected = true;
        status(stream).await
    };
    let answered = tokio::time::timeout(timeout, asking).await;
    let status = answered.map_err(|_| {
        let told = humantime::format_duration(timeout);
        Error::other(if connected {
            format!(
                "it takes the connection and says nothing for {told} (--timeout): it is stuck, or no Relay"
            )
        } else {
            format!("it takes no connection within {told} (--timeout)")
        })
    })??;
    match status.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(Error::other(format!("it answers {:?}", status.trim()))),
    }
}

/// The first line of the answer.
async fn status(mut stream: TcpStream) -> Result<String> {
    let request = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await?;
    let mut status = String::new();
    BufReader::new(stream.take(LINE)).read_line(&mut status).await?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What is said of a listener that answers `answer` to each, or nothing.
    async fn said(answer: Option<&'static str>) -> std::result::Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let answering = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                if let Some(answer) = answer {
                    stream.write_all(answer.as_bytes()).await.expect("it is read");
                }
                held.push(stream);
            }
        });
        let ops = OpsConfig {
            port,
            ..OpsConfig::default()
        };
        // Long enough for an answer on a loaded machine; without one it is waited for in vain.
        let timeout = Duration::from_millis(if answer.is_some() { 60_000 } else { 20 });
        let asked = run(&ops, timeout).await;
        answering.abort();
        asked.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_listener_that_says_nothing_is_told_from_one_that_is_well() {
        assert_eq!(said(Some("HTTP/1.0 200 OK\r\n\r\n")).await, Ok(()));
        let silent = said(None).await.expect_err("it is no health");
        assert!(
            silent.contains("says nothing for 20ms (--timeout)") && silent.contains("--admin-port"),
            "{silent}"
        );
        let ill = said(Some("HTTP/1.0 500 Oh\r\n\r\n"))
            .await
            .expect_err("it is none");
        assert!(ill.contains("HTTP/1.0 500 Oh"), "{ill}");
    }
}
