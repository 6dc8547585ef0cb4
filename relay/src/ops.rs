//! The operators' listener: health, metrics and, where the traces are, the admin pages. Loopback unless told otherwise.

mod guard;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use relay_clock::Clock;
use relay_runner::{ConnectionBounds, Runtime, Shutdown, ops_router, serve_http};
use serde::Deserialize;
use tokio::net::TcpListener;

use self::guard::{Guard, Refusal};

/// Longest time to a connection's first request, without one after that, and with nothing of an answer taken.
const HEADERS: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
const UNREAD: Duration = Duration::from_secs(30);

/// The operators' listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConfig {
    /// Address; keep it where only operators reach it.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// Most connections at once; where none is idle, further ones wait.
    pub max_connections: usize,
    /// Most commands that read or change the embedded log beside this process at once; 0 serves none of their routes.
    pub max_log_readers: usize,
    /// Host names under which it answers, besides the loopback names and the address that is bound.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may change something, besides its own.
    pub allowed_origins: Vec<String>,
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8001,
            metrics: true,
            max_connections: 32,
            max_log_readers: 4,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}

impl OpsConfig {
    /// Where it is asked from this machine: everywhere is nowhere to connect to.
    pub fn to_ask(&self) -> (&str, u16) {
        let host = match self.host.as_str() {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        (host, self.port)
    }
}

/// A bound listener, and who may come in.
pub struct Bound {
    listener: TcpListener,
    guard: Guard,
}

/// A bound listener and what it will serve.
pub struct Ops {
    listener: TcpListener,
    router: Router,
    bounds: ConnectionBounds,
    clock: Clock,
}

impl Bound {
    /// Binds, so that a taken port is known before anything is opened.
    pub async fn bind(config: &OpsConfig) -> anyhow::Result<Self> {
        let address = format!("{}:{}", config.host, config.port);
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("the operators' listener on {address} (`ops.port`, --admin-port)"))?;
        let guard = Guard::new(
            &config.host,
            listener.local_addr()?,
            &config.allowed_hosts,
            &config.allowed_origins,
        )?;
        Ok(Self { listener, guard })
    }

    /// What it serves. `admin` joins the pages of the trace sink.
    pub fn serving(self, config: &OpsConfig, runtime: &Runtime, admin: Option<Router>) -> Ops {
        let first = if admin.is_some() {
            "/admin/traces"
        } else {
            "/readyz"
        };
        let router = ops_router(runtime.clone(), config.metrics)
            .route("/", get(move || async move { Redirect::to(first) }))
            .merge(admin.unwrap_or_default());
        // A route that nobody serves is guarded too: the layer stands around everything, whatever is added above.
        let router = router
            .fallback(|| async { StatusCode::NOT_FOUND })
            .layer(middleware::from_fn_with_state(Arc::new(self.guard), guarded));
        let bounds = ConnectionBounds {
            most_connections: config.max_connections,
            headers: HEADERS,
            idle: IDLE,
            unread: UNREAD,
        };
        Ops {
            listener: self.listener,
            router,
            bounds,
            clock: runtime.clock.clone(),
        }
    }
}

impl Ops {
    /// Where it listens.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until it is dropped, also during a drain: whoever watches sees `/readyz` say no and `/healthz` say yes.
    pub async fn serve(self) {
        // A drain of its own that never begins: dropping the future is its end.
        let drain = Shutdown::default();
        serve_http(self.router, self.listener, self.bounds, self.clock, drain).await;
    }
}

async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Err(refusal) = guard.check(request.method(), request.uri(), request.headers()) else {
        return next.run(request).await;
    };
    tracing::warn!(%refusal, "a request to the operators' listener is refused");
    let status = match refusal {
        Refusal::UnreadableHost(_) => StatusCode::BAD_REQUEST,
        Refusal::ForeignHost(_) => StatusCode::MISDIRECTED_REQUEST,
        Refusal::ForeignOrigin(_) => StatusCode::FORBIDDEN,
    };
    (status, format!("{refusal}\n")).into_response()
}

#[cfg(test)]
mod tests {
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
}
