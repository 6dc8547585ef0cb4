//! `relay healthcheck`: whether a running Relay answers, for images that hold no shell and no `curl`.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::ops::OpsConfig;

/// Who asks has a limit of its own; this one ends what nobody waits for any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the operators' listener for `/healthz`. Not for `/readyz`: who starts unhealthy containers again would do so to all of them
/// whenever Kafka is away.
pub async fn run(ops: &OpsConfig) -> anyhow::Result<()> {
    let (host, port) = ops.to_ask();
    let answered = tokio::time::timeout(PATIENCE, ask(host, port)).await;
    let answered = answered.unwrap_or_else(|_| Err(Error::from(ErrorKind::TimedOut)));
    answered.with_context(|| {
        format!("no health from the operators' listener at {host}:{port} (`ops.port`, --admin-port)")
    })
}

async fn ask(host: &str, port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let request = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).await?;
    if status.split_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    Err(Error::other(format!("it answers {:?}", status.trim())))
}
