//! The mock endpoint itself. One task a connection, HTTP/1.1 with keep-alive, chunks written as they are due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

mod rich;

/// The head of a stream of events.
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// How it answers.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Before the first token.
    pub first: Duration,
    /// Between tokens.
    pub token: Duration,
    /// Tokens of an answer.
    pub tokens: usize,
    /// Share of requests that fail.
    pub fail_rate: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            first: Duration::ZERO,
            token: Duration::ZERO,
            tokens: 16,
            fail_rate: 0.0,
        }
    }
}

/// A running mock; ends when dropped.
pub struct Mock {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    settings: Settings,
    requests: AtomicU64,
    connections: AtomicU64,
    /// Answers that were written to their end.
    finished: AtomicU64,
    newest: Mutex<ReceivedRequest>,
}

impl Mock {
    /// Listens on 127.0.0.1.
    pub async fn start(port: u16, settings: Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let counters = || AtomicU64::new(0);
        let shared = Arc::new(Shared {
            settings,
            requests: counters(),
            connections: counters(),
            finished: counters(),
            newest: Mutex::default(),
        });
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, serving.clone()));
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[allow(dead_code, reason = "each of the programs that share this file uses some")]
impl Mock {
    /// Requests that came.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The newest request's `Authorization`.
    pub fn authorization(&self) -> String {
        let newest = self.shared.newest.lock();
        newest.map_or_else(|_| String::new(), |newest| newest.authorization.clone())
    }

    /// Connections that were opened.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Answers that were written to their end.
    pub fn finished(&self) -> u64 {
        self.shared.finished.load(Ordering::Relaxed)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A request that was read.
#[derive(Clone, Default)]
struct ReceivedRequest {
    line: String,
    authorization: String,
    body: Vec<u8>,
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    // A client that goes away in the middle is no news.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(asked)) = read(&mut stream, &mut buffer).await {
        if answer(&mut stream, &asked, &shared).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<ReceivedRequest>> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let text = std::str::from_utf8(&buffer[..head])?;
    let header = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let length: usize = header("content-length").map_or(Ok(0), str::parse)?;
    let authorization = header("authorization").unwrap_or_default().to_owned();
    let line = text.lines().next().context("a request line")?.to_owned();
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the body broke off");
        }
    }
    let body = buffer[head..head + length].to_vec();
    buffer.drain(..head + length);
    Ok(Some(ReceivedRequest {
        line,
        authorization,
        body,
    }))
}

async fn answer(stream: &mut TcpStream, asked: &ReceivedRequest, shared: &Shared) -> anyhow::Result<()> {
    if asked.line.starts_with("GET /count") {
        return whole(stream, 200, &shared.requests.load(Ordering::Relaxed).to_string()).await;
    }
    if asked.line.starts_with("GET /newest") {
        let newest = shared
            .newest
            .lock()
            .map_or_else(|_| Vec::new(), |newest| newest.body.clone());
        return whole(stream, 200, std::str::from_utf8(&newest)?).await;
    }
    let is_chat = asked.line.contains("/chat/completions");
    if !is_chat && !asked.line.contains("/completions") && !asked.line.contains("/embeddings") {
        let refusal = r#"{"error":{"message":"no such path","type":"not_found"}}"#;
        return whole(stream, 404, refusal).await;
    }
    let settings = &shared.settings;
    if let Ok(mut newest) = shared.newest.lock() {
        newest.clone_from(asked);
    }
    let nth = shared.requests.fetch_add(1, Ordering::Relaxed);
    // Evenly: the whole part of nth * rate moves with each request that is to fail.
    let due = |n: u64| (n as f64 * settings.fail_rate) as u64;
    if due(nth + 1) > due(nth) {
        let refusal = r#"{"error":{"message":"as ordered","type":"server_error"}}"#;
        return whole(stream, 500, refusal).await;
    }
    let Ok(request) = serde_json::from_slice::<Value>(&asked.body) else {
        let refusal = r#"{"error":{"message":"no JSON","type":"invalid_request_error"}}"#;
        return whole(stream, 400, refusal).await;
    };
    let words = words(&request);
    if words.first().is_some_and(|word| word.starts_with("status-")) {
        // A test asks for a refusal.
        let status = words[0]["status-".len()..].parse()?;
        let refusal = r#"{"error":{"message":"secret as ordered","code":"ordered"}}"#;
        return whole(stream, status, refusal).await;
    }
    let limit = request["max_completion_tokens"]
        .as_u64()
        .or(request["max_tokens"].as_u64());
    let count = settings
        .tokens
        .min(limit.map_or(usize::MAX, |limit| limit as usize));
    wait(settings.first).await;
    if asked.line.contains("/embeddings") {
        whole(stream, 200, &rich::embeddings(&request).to_string()).await?;
    } else if !is_chat || rich::is_rich(&request) || words[0] == rich::REFUSED {
        let tokens: Vec<String> = (0..count).map(|at| token(&words, at)).collect();
        let usage = usage(&words, count);
        rich_answer(stream, &request, is_chat, &tokens, &usage).await?;
    } else if request["stream"] == true {
        streamed(stream, &request, &words, count, settings).await?;
    } else {
        wait(settings.token * count.saturating_sub(1) as u32).await;
        let text: String = (0..count).map(|at| token(&words, at)).collect();
        let usage = usage(&words, count);
        let message = serde_json::json!({
            "id": "mock", "object": "chat.completion", "model": request["model"], "usage": usage,
            "choices": [{"index": 0, "finish_reason": reason(settings, count), "message": {"role": "assistant", "content": text}}],
        });
        whole(stream, 200, &message.to_string()).await?;
    }
    shared.finished.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn rich_answer(
    stream: &mut TcpStream,
    request: &Value,
    is_chat: bool,
    tokens: &[String],
    usage: &Value,
) -> anyhow::Result<()> {
    let answer = if is_chat {
        rich::chat(request, tokens, usage)
    } else {
        rich::completion(request, tokens, usage)
    };
    if request["stream"] != true {
        return whole(stream, 200, &answer.to_string()).await;
    }
    let mut chunks = if is_chat {
        rich::chunks(&answer)
    } else {
        vec![answer]
    };
    chunks.push(serde_json::json!({"id": "mock", "choices": [], "usage": usage}));
    let mut out = String::from(EVENTS);
    for chunk in &chunks {
        event(&mut out, &chunk.to_string());
    }
    event(&mut out, "[DONE]");
    out.push_str("0\r\n\r\n");
    stream.write_all(out.as_bytes()).await?;
    Ok(())
}

/// The words of the last message, or of the prompt; what the answer is made of.
fn words(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array();
    let content = messages
        .and_then(|messages| messages.last())
        .map(|last| &last["content"]);
    let text = content
        .unwrap_or(&request["prompt"])
        .as_str()
        .unwrap_or("nothing");
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() {
        vec!["nothing".to_owned()]
    } else {
        words
    }
}

fn token(words: &[String], at: usize) -> String {
    let space = if at == 0 { "" } else { " " };
    format!("{space}{}", words[at % words.len()])
}

fn usage(words: &[String], count: usize) -> Value {
    serde_json::json!({"prompt_tokens": words.len(), "completion_tokens": count, "total_tokens": words.len() + count})
}

fn reason(settings: &Settings, count: usize) -> &'static str {
    if count < settings.tokens { "length" } else { "stop" }
}

/// A sleep of no time would still last until the timer's next millisecond.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn streamed(
    stream: &mut TcpStream,
    request: &Value,
    words: &[String],
    count: usize,
    settings: &Settings,
) -> anyhow::Result<()> {
    let mut out = String::from(EVENTS);
    let breaks_off = words[0] == "break-off";
    for at in 0..count {
        if at > 0 && !settings.token.is_zero() {
            stream.write_all(out.as_bytes()).await?;
            out.clear();
            tokio::time::sleep(settings.token).await;
        }
        let content = Value::from(token(words, at));
        let model = &request["model"];
        event(
            &mut out,
            &format!(
                r#"{{"id":"mock","model":{model},"choices":[{{"index":0,"delta":{{"content":{content}}}}}]}}"#
            ),
        );
        if breaks_off && at == 1 {
            stream.write_all(out.as_bytes()).await?;
            bail!("as ordered");
        }
    }
    let reason = reason(settings, count);
    event(
        &mut out,
        &format!(r#"{{"id":"mock","choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#),
    );
    if request["stream_options"]["include_usage"] == true {
        event(
            &mut out,
            &format!(r#"{{"id":"mock","choices":[],"usage":{}}}"#, usage(words, count)),
        );
    }
    event(&mut out, "[DONE]");
    out.push_str("0\r\n\r\n");
    stream.write_all(out.as_bytes()).await?;
    Ok(())
}

fn event(out: &mut String, data: &str) {
    let length = "data: ".len() + data.len() + "\n\n".len();
    for part in [format!("{length:x}").as_str(), "\r\ndata: ", data, "\n\n\r\n"] {
        out.push_str(part);
    }
}

async fn whole(stream: &mut TcpStream, status: u16, body: &str) -> anyhow::Result<()> {
    let length = body.len();
    let location = if (300..400).contains(&status) {
        "location: /elsewhere\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{location}\r\n"
    );
    stream.write_all((head + body).as_bytes()).await?;
    Ok(())
}
