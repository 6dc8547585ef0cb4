//! Asks the Relay that has the log open, by its operators' listener.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ask::Ask;
use super::lines::{Answer, Line, Lines, lines};
use super::wire::{self, Asked};
use crate::ops::OpsConfig;

/// Longest time until it begins to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest line: several times the largest record, as JSON.
const LONGEST_LINE: usize = 64 * 1024 * 1024;
/// Most of a refusal that is shown.
const SHOWN: usize = 2_000;

/// A Relay that has the log open.
pub struct Running {
    /// Its operators' listener.
    pub ops: OpsConfig,
    /// Which log is meant.
    pub log: Option<String>,
    /// What the log's lock says of it.
    pub held: String,
}

impl Running {
    /// Begins to hear its answer.
    pub async fn ask(&self, ask: &Ask, who: &str) -> anyhow::Result<Answer> {
        let (host, port) = self.ops.to_ask();
        let answered = tokio::time::timeout(PATIENCE, self.begin((host, port), wire::asked(ask), who)).await;
        let late = || anyhow::anyhow!("it does not answer within {} s", PATIENCE.as_secs());
        let body = answered.unwrap_or_else(|_| Err(late())).with_context(|| {
            format!(
                "{}, so that its operators' listener is asked, at {host}:{port} (`ops`, --admin-port). Name the port that its banner shows, \
                 or stop it",
                self.held
            )
        })?;
        let (lines, answer) = lines();
        tokio::spawn(async move {
            let cut = |error: anyhow::Error| Err(format!("the Relay that was asked broke off: {error:#}"));
            let end = hear(body, &lines).await.unwrap_or_else(cut);
            lines.end(end).await;
        });
        Ok(answer)
    }

    async fn begin(&self, (host, port): (&str, u16), asked: Asked, who: &str) -> anyhow::Result<Incoming> {
        let stream = TcpStream::connect((host, port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let named = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request = Request::builder()
            .method(asked.method)
            .uri(asked.path)
            .header(HOST, named)
            .header(wire::USER, who);
        if let Some(log) = &self.log {
            request = request.header(wire::LOG, log);
        }
        if !asked.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(asked.body)))?)
            .await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            StatusCode::NOT_FOUND => {
                bail!(
                    "it knows nothing of topics: it is another program, a Relay of another version, or one whose `ops.max_log_readers` is 0"
                )
            }
            status => {
                let said = first(response.into_body()).await;
                bail!("it refuses ({status}): {}", said.trim())
            }
        }
    }
}

/// The beginning of what a refusal says.
async fn first(mut body: Incoming) -> String {
    let mut said = Vec::new();
    while said.len() < SHOWN
        && let Some(Ok(frame)) = body.frame().await
    {
        said.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
    }
    said.truncate(SHOWN);
    String::from_utf8_lossy(&said).into_owned()
}

/// Hands on line by line until the last one.
async fn hear(mut body: Incoming, lines: &Lines) -> anyhow::Result<Result<(), String>> {
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let frame = tokio::select! {
            biased;
            () = lines.gone() => return Ok(Ok(())),
            frame = body.frame() => frame,
        };
        let frame = frame.context("it ended before its answer did")??;
        let Some(data) = frame.data_ref() else { continue };
        rest.extend_from_slice(data);
        ensure!(
            rest.len() <= LONGEST_LINE,
            "a line of more than {} MiB",
            LONGEST_LINE >> 20
        );
        let Some(last) = rest.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let complete: Vec<u8> = rest.drain(..=last).collect();
        for text in complete
            .split(|byte| *byte == b'\n')
            .filter(|text| !text.is_empty())
        {
            match Line::read(text).context("what it says cannot be read")? {
                Line::Item(item) => {
                    if lines.say(item).await.is_err() {
                        return Ok(Ok(()));
                    }
                }
                Line::End(end) => return Ok(end),
            }
        }
    }
}
