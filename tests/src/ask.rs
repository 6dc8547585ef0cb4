//! A client that remembers what it saw, because that is what the log is held against.

use std::time::Duration;

use futures::StreamExt;
use relay_schemas::TimestampMs;
use serde_json::{Value, json};

use crate::meaning::{Meaning, means};

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One JSON body.
    Whole,
    /// Server-sent events.
    Streamed,
    /// Server-sent events, left after the first.
    Cancelled,
}

/// What a client saw of one request.
#[derive(Debug, Clone)]
pub struct Observation {
    /// `x-request-id`, where a response came at all.
    pub request_id: Option<String>,
    /// The text so far.
    pub text: String,
    /// How it ended, as far as the client can tell.
    pub end: End,
    /// When it did.
    pub at: TimestampMs,
    /// Whether the headers of a stream came.
    pub began: bool,
}

impl Observation {
    /// Whether the client saw any sign that its request was accepted: the headers of a stream, text, a finish, or a failure
    /// that is its end.
    pub fn accepted(&self) -> bool {
        let told = match &self.end {
            End::Status(_, code) | End::ErrorEvent(code) => Some(means(code)),
            End::Finished(_) => Some(Meaning::End),
            End::Broken | End::Left => None,
        };
        self.request_id.is_some()
            && match told {
                Some(Meaning::End | Meaning::NotShown) => true,
                // By then it has sent headers to keep the connection, and only text says more.
                Some(Meaning::Unknown) => !self.text.is_empty(),
                Some(Meaning::Refused) => false,
                None => self.began || !self.text.is_empty(),
            }
    }
}

/// How it ended for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A finish reason, and `[DONE]` where it was a stream.
    Finished(String),
    /// A plain error status with this `code`.
    Status(u16, String),
    /// An error event inside a stream.
    ErrorEvent(String),
    /// The connection broke; nothing is known.
    Broken,
    /// The client went away itself.
    Left,
}

/// A question that no other question equals.
pub fn unique_prompt(seed: u64) -> String {
    format!("please echo the words of question number {seed} as they stand")
}

/// Asks one question of the model `mock`.
pub async fn ask(
    http: &reqwest::Client,
    base: &str,
    tenant: &str,
    prompt: &str,
    manner: Manner,
    key: Option<&str>,
) -> Observation {
    ask_watched(http, base, tenant, prompt, manner, key, &|| ()).await
}

/// Likewise, and calls `shown` with each piece of text that a stream shows.
pub async fn ask_watched(
    http: &reqwest::Client,
    base: &str,
    tenant: &str,
    prompt: &str,
    manner: Manner,
    key: Option<&str>,
    shown: &(dyn Fn() + Send + Sync),
) -> Observation {
    let stream = manner != Manner::Whole;
    let body = json!({"model": "mock", "temperature": 0, "stream": stream, "max_tokens": 64,
        "messages": [{"role": "user", "content": prompt}]});
    let mut request = http
        .post(format!("{base}/v1/chat/completions"))
        .header("x-tenant-id", tenant)
        .timeout(Duration::from_secs(120))
        .json(&body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut saw = Observation {
        request_id: None,
        text: String::new(),
        end: End::Broken,
        at: TimestampMs(0),
        began: false,
    };
    if let Ok(response) = request.send().await {
        read(response, manner, &mut saw, shown).await;
    }
    saw.at = relay_clock::Clock::system().now();
    saw
}

async fn read(
    response: reqwest::Response,
    manner: Manner,
    saw: &mut Observation,
    shown: &(dyn Fn() + Send + Sync),
) {
    let request_id = response.headers().get("x-request-id");
    saw.request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let status = response.status();
    if !status.is_success() || manner == Manner::Whole {
        if let Ok(body) = response.json::<Value>().await {
            saw.end = whole(status.as_u16(), &body, &mut saw.text);
        }
    } else {
        saw.began = true;
        streamed(response, manner, saw, shown).await;
    }
}

fn whole(status: u16, body: &Value, text: &mut String) -> End {
    if status != 200 {
        let code = body["error"]["code"].as_str().unwrap_or_default();
        return End::Status(status, code.to_owned());
    }
    let choice = &body["choices"][0];
    text.push_str(choice["message"]["content"].as_str().unwrap_or_default());
    End::Finished(choice["finish_reason"].as_str().unwrap_or_default().to_owned())
}

async fn streamed(
    response: reqwest::Response,
    manner: Manner,
    saw: &mut Observation,
    shown: &(dyn Fn() + Send + Sync),
) {
    let mut bytes = response.bytes_stream();
    let mut buffer = String::new();
    let mut finish = None;
    while let Some(Ok(piece)) = bytes.next().await {
        buffer.push_str(&String::from_utf8_lossy(&piece));
        while let Some(end) = buffer.find("\n\n") {
            let event: String = buffer.drain(..end + 2).collect();
            let Some(data) = event.trim().strip_prefix("data: ") else {
                continue;
            };
            if data == "[DONE]" {
                saw.end = finish.take().map_or(End::Broken, End::Finished);
                return;
            }
            let Ok(chunk) = serde_json::from_str::<Value>(data) else {
                return;
            };
            if let Some(code) = chunk
                .get("error")
                .map(|error| error["code"].as_str().unwrap_or_default())
            {
                saw.end = End::ErrorEvent(code.to_owned());
                return;
            }
            let choice = &chunk["choices"][0];
            let text = choice["delta"]["content"].as_str().unwrap_or_default();
            saw.text.push_str(text);
            if !text.is_empty() {
                shown();
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                finish = Some(reason.to_owned());
            }
            if manner == Manner::Cancelled && !saw.text.is_empty() {
                saw.end = End::Left;
                return;
            }
        }
    }
}
