use axum::routing::post;
use relay_bus::topics::Manifest;
use relay_bus::{EmbeddedBus, EmbeddedOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// A listener that really listens, with a page that changes something.
struct Listening {
    port: u16,
    _folder: tempfile::TempDir,
}

async fn listening(config: OpsConfig) -> Listening {
    let admin = Router::new().route("/admin/change", post(|| async { "changed" }));
    serving(config, Some(admin)).await
}

async fn serving(config: OpsConfig, admin: Option<Router>) -> Listening {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = Manifest::parse("pools: [cpu]\ntopics: []").expect("a manifest");
    let bus = EmbeddedBus::open(
        folder.path().join("log"),
        &manifest,
        EmbeddedOptions::default(),
        &relay_clock::Clock::system(),
    );
    let runtime = Runtime::new(Arc::new(bus.expect("a log")));
    let config = OpsConfig { port: 0, ..config };
    let bound = Bound::bind(&config).await.expect("bound");
    let ops = bound.serving(&config, &runtime, admin);
    let port = ops.address().expect("bound").port();
    tokio::spawn(ops.serve());
    Listening {
        port,
        _folder: folder,
    }
}

impl Listening {
    /// The status and the body of one request, whose `PORT` is ours.
    async fn ask(&self, start: &str, headers: &[&str]) -> (u16, String) {
        let response = self.response(start, headers).await;
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.expect("a status line"), body.expect("a body"))
    }

    /// All of the response.
    async fn response(&self, start: &str, headers: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("it listens");
        let mut request = format!("{start} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        let request = format!("{request}\r\n").replace("PORT", &self.port.to_string());
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("answered");
        response
    }

    async fn get(&self, host: &str) -> u16 {
        self.ask("GET /healthz", &[&format!("Host: {host}")]).await.0
    }

    async fn change(&self, headers: &[&str]) -> u16 {
        self.ask("POST /admin/change", headers).await.0
    }
}

#[tokio::test]
async fn the_operators_listener_refuses_a_foreign_host() {
    let listening = listening(OpsConfig::default()).await;
    for path in ["/healthz", "/metrics", "/admin/change", "/nothing"] {
        let (status, body) = listening
            .ask(&format!("GET {path}"), &["Host: rebound.example:PORT"])
            .await;
        assert_eq!(status, 421, "{path}");
        assert!(
            body.contains("rebound.example") && body.contains("ops.allowed_hosts"),
            "{body}"
        );
    }
    for foreign in [
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1:PORT",
        "[::2]:PORT",
        "evil:PORT",
    ] {
        assert_eq!(listening.get(foreign).await, 421, "{foreign}");
    }
    let absolute = listening
        .ask("GET http://localhost:PORT/healthz", &["Host: evil.example"])
        .await;
    assert_eq!(absolute.0, 400, "it names two");
    let two = listening
        .ask("GET /healthz", &["Host: localhost:PORT", "Host: evil.example"])
        .await;
    assert_eq!(two.0, 400);
    assert_eq!(listening.ask("GET /healthz", &[]).await.0, 400);
    assert_eq!(listening.get("me@localhost").await, 400);
}

#[tokio::test]
async fn the_root_leads_to_the_traces_or_where_there_are_none_to_what_is_missing() {
    let traces = Router::new().route("/admin/traces", axum::routing::get(|| async { "traces" }));
    for (admin, place) in [(Some(traces), "/admin/traces"), (None, "/readyz")] {
        let listening = serving(OpsConfig::default(), admin).await;
        let host = "Host: localhost:PORT";
        let response = listening.response("GET /", &[host]).await;
        assert!(response.starts_with("HTTP/1.1 303 "), "{response}");
        assert!(
            response.contains(&format!("\r\nlocation: {place}\r\n")),
            "{response}"
        );
        let (status, _) = listening.ask(&format!("GET {place}"), &[host]).await;
        assert_eq!(status, 200, "{place}");
    }
}

#[tokio::test]
async fn the_operators_listener_answers_under_the_loopback_names_and_the_bound_address() {
    let listening = listening(OpsConfig::default()).await;
    for own in [
        "localhost:PORT",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1:PORT",
        "127.0.0.1",
        "[::1]:PORT",
        "[::1]",
    ] {
        assert_eq!(listening.get(own).await, 200, "{own}");
    }
}

#[tokio::test]
async fn a_listener_on_a_wildcard_address_answers_under_every_address_and_no_foreign_name() {
    let listening = listening(OpsConfig {
        host: "0.0.0.0".to_owned(),
        allowed_hosts: vec!["Relay.Internal".to_owned()],
        ..OpsConfig::default()
    })
    .await;
    for (host, expected) in [
        ("10.1.2.3:PORT", 200),
        ("[fd00::1]:PORT", 200),
        ("localhost", 200),
        ("relay.internal:PORT", 200),
        ("rebound.example", 421),
    ] {
        assert_eq!(listening.get(host).await, expected, "{host}");
    }
}

#[tokio::test]
async fn every_changing_request_on_the_operators_listener_is_checked_for_its_origin() {
    let listening = listening(OpsConfig {
        allowed_origins: vec!["https://Ops.example".to_owned()],
        ..OpsConfig::default()
    })
    .await;
    let host = "Host: localhost:PORT";
    for (headers, expected) in [
        // No browser.
        (&[host][..], 200),
        (&[host, "Sec-Fetch-Site: same-origin"], 200),
        (&[host, "Sec-Fetch-Site: none"], 200),
        (&[host, "Origin: http://localhost:PORT"], 200),
        (
            &[host, "Origin: https://ops.example", "Sec-Fetch-Site: cross-site"],
            200,
        ),
        (&[host, "Sec-Fetch-Site: cross-site"], 403),
        (
            &[host, "Sec-Fetch-Site: same-site", "Origin: http://localhost:PORT"],
            403,
        ),
        (&[host, "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"], 403),
        (&[host, "Origin: https://evil.example"], 403),
        (&[host, "Origin: http://localhost:1"], 403),
        (&[host, "Origin: null"], 403),
        (&["Host: evil.example", "Origin: http://evil.example"], 421),
    ] {
        assert_eq!(listening.change(headers).await, expected, "{headers:?}");
    }
    let (status, body) = listening
        .ask("DELETE /what/comes/later", &[host, "Origin: null"])
        .await;
    assert_eq!(status, 403, "also where nothing is served yet");
    assert!(body.contains("ops.allowed_origins"), "{body}");
    let read = listening
        .ask("GET /healthz", &[host, "Sec-Fetch-Site: cross-site"])
        .await;
    assert_eq!(read.0, 200, "reading is for the browser to forbid");
}

#[tokio::test]
async fn fifty_connections_that_say_nothing_do_not_keep_operators_out() {
    let config = OpsConfig {
        max_connections: 8,
        ..OpsConfig::default()
    };
    let listening = listening(config).await;
    let mut held = Vec::new();
    for said in ["", "PRI * HT"].repeat(25) {
        let mut stream = TcpStream::connect(("127.0.0.1", listening.port))
            .await
            .expect("it listens");
        stream.write_all(said.as_bytes()).await.expect("sent");
        held.push(stream);
    }
    // Well before the first of them has had its time for headers.
    let healthy = tokio::time::timeout(HEADERS * 9 / 10, listening.get("localhost"));
    assert_eq!(healthy.await.expect("before that"), 200);
    drop(held);
}

#[tokio::test]
async fn a_host_or_an_origin_that_is_none_is_refused_at_the_start() {
    let bound = SocketAddr::from(([127, 0, 0, 1], 1));
    for host in ["http://ops", "ops:8001", "ops/path", "*.ops", "", "a b"] {
        let refused = Guard::new("127.0.0.1", bound, &[host.to_owned()], &[]).expect_err(host);
        assert!(refused.to_string().contains("ops.allowed_hosts"), "{refused}");
    }
    for origin in [
        "ops.example",
        "ftp://ops",
        "https://ops/path",
        "https://",
        "null",
        "*",
    ] {
        let refused = Guard::new("127.0.0.1", bound, &[], &[origin.to_owned()]).expect_err(origin);
        assert!(refused.to_string().contains("ops.allowed_origins"), "{refused}");
    }
}
