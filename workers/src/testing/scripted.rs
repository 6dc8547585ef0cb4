//! An endpoint that answers to the letter of its script, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How an answer goes on behind its last byte.
#[derive(Debug, Clone, Copy)]
pub enum BodyEnd {
    /// It ends as it should.
    End,
    /// The connection is cut.
    Cut,
    /// Nothing comes any more.
    Silence,
    /// It goes on with this after more than a second, and ends.
    Late(&'static str),
    /// Comments come, for ever.
    Pings,
}

/// One answer. `{address}` in its body becomes the endpoint's own.
#[derive(Debug, Clone)]
pub struct Reply {
    head: String,
    body: String,
    then: BodyEnd,
    after: Duration,
}

impl Reply {
    /// A stream of these events.
    pub fn events(events: &[&str]) -> Self {
        let event = |data: &&str| format!("data: {data}\n\n");
        Self {
            head: "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n".to_owned(),
            body: events.iter().map(event).collect(),
            then: BodyEnd::End,
            after: Duration::ZERO,
        }
    }

    /// One body, whatever it is called.
    pub fn raw(content_type: &str, body: &str) -> Self {
        Self {
            head: format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n"),
            body: body.to_owned(),
            then: BodyEnd::End,
            after: Duration::ZERO,
        }
    }

    /// One JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"),
            body: body.to_owned(),
            then: BodyEnd::End,
            after: Duration::ZERO,
        }
    }

    /// Nothing at all, for ever.
    pub fn silence() -> Self {
        Self {
            head: String::new(),
            ..Self::raw("", "").then(BodyEnd::Silence)
        }
    }

    /// Only after so long.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// Goes on like that.
    #[must_use]
    pub fn then(mut self, then: BodyEnd) -> Self {
        self.then = then;
        self
    }

    async fn write(&self, stream: &mut TcpStream, address: SocketAddr) -> std::io::Result<()> {
        let body = self.body.replace("{address}", &address.to_string());
        if !self.after.is_zero() {
            tokio::time::sleep(self.after).await;
        }
        if !self.head.is_empty() {
            let head = format!("{}transfer-encoding: chunked\r\n\r\n", self.head);
            stream.write_all(head.as_bytes()).await?;
        }
        if !body.is_empty() {
            stream.write_all(chunk(&body).as_bytes()).await?;
        }
        match self.then {
            BodyEnd::End => stream.write_all(b"0\r\n\r\n").await,
            BodyEnd::Cut => Err(std::io::ErrorKind::ConnectionAborted.into()),
            BodyEnd::Late(more) => {
                tokio::time::sleep(Duration::from_millis(1_300)).await;
                stream.write_all((chunk(more) + "0\r\n\r\n").as_bytes()).await
            }
            // Until the client closes the connection.
            BodyEnd::Silence => match stream.read(&mut [0; 1]).await {
                Ok(0) | Err(_) => Err(std::io::ErrorKind::NotConnected.into()),
                Ok(_) => std::future::pending().await,
            },
            BodyEnd::Pings => loop {
                stream.write_all(chunk(": ping\n\n").as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// What the endpoint was asked.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Method, path and version.
    pub line: String,
    /// The line and the headers, as they came.
    pub head: String,
    /// As it came.
    pub body: String,
}

/// A running endpoint; ends when dropped. The last reply is given again and again.
pub struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<ReceivedRequest>>>,
    closed: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Scripted {
    /// Listens on 127.0.0.1.
    pub async fn start(replies: Vec<Reply>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicUsize::new(0));
        let (book, left) = (asked.clone(), closed.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serve(stream, address, replies.clone(), book.clone());
                let left = left.clone();
                tokio::spawn(async move {
                    if serving.await == Some(std::io::ErrorKind::NotConnected) {
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(Self {
            address,
            asked,
            closed,
            accepting,
        })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Connections that were closed while their client waited for an answer.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    /// Everything that it was asked, in order.
    pub fn asked(&self) -> Vec<ReceivedRequest> {
        self.asked.lock().expect("nothing panics under this lock").clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    replies: Vec<Reply>,
    asked: Arc<Mutex<Vec<ReceivedRequest>>>,
) -> Option<std::io::ErrorKind> {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut buffer).await {
        let nth = {
            let mut asked = asked.lock().expect("nothing panics under this lock");
            asked.push(request);
            asked.len() - 1
        };
        let reply = &replies[nth.min(replies.len() - 1)];
        if let Err(error) = reply.write(&mut stream, address).await {
            return Some(error.kind());
        }
    }
    None
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
    let text = String::from_utf8(buffer[..head].to_vec())?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse())
    });
    let length: usize = length.unwrap_or(Ok(0))?;
    while buffer.len() < head + length {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the body broke off");
    }
    let body = String::from_utf8(buffer[head..head + length].to_vec())?;
    buffer.drain(..head + length);
    let line = text.lines().next().unwrap_or_default().to_owned();
    Ok(Some(ReceivedRequest {
        line,
        head: text,
        body,
    }))
}
