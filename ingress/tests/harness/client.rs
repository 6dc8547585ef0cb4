//! A small HTTP/1.1 client that shows what is on the wire.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A whole response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name)?;
        Some(&found.1)
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and reads the whole response.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    open(address, method, path, headers, body).await.rest().await
}

/// Posts a body whose framing the headers say.
pub async fn send_raw(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut text = format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    text.push_str("\r\n");
    text.push_str(body);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let read = Vec::new();
    Open { stream, read }.rest().await
}

/// Sends a request and leaves the connection open.
pub async fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Open {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer and close before it has read all of a body that is too large.
    let _ = stream.write_all(body).await;
    Open {
        stream,
        read: Vec::new(),
    }
}

/// A connection whose response is on its way. Dropped, the client is gone.
pub struct Open {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Open {
    /// Reads on until the response holds `text`.
    pub async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            let mut piece = [0; 4_096];
            let read = tokio::time::timeout(super::PATIENCE, self.stream.read(&mut piece));
            let read = read.await.expect("it comes in time").unwrap();
            assert!(
                read > 0,
                "the response ended before {text:?}: {}",
                String::from_utf8_lossy(&self.read)
            );
            self.read.extend_from_slice(&piece[..read]);
        }
    }

    /// What has been read so far.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads to the end.
    pub async fn rest(mut self) -> Response {
        let read = tokio::time::timeout(super::PATIENCE, self.stream.read_to_end(&mut self.read));
        let _ = read.await.expect("it comes in time");
        parse(&self.read)
    }
}

fn parse(bytes: &[u8]) -> Response {
    let split = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &bytes[split + 4..];
    Response {
        status,
        headers,
        body: if chunked { unchunk(body) } else { body.to_vec() },
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(split) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..split]).unwrap(), 16).unwrap();
        let from = split + 2;
        body.extend_from_slice(&bytes[from..from + size]);
        bytes = &bytes[from + size + 2..];
        if size == 0 {
            break;
        }
    }
    body
}
