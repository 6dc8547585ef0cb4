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
mod tests;
