//! The operators' listener: health, metrics and, where the traces are, the admin pages. Loopback unless told otherwise.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use relay_runner::{Runtime, ops_router};
use serde::Deserialize;
use tokio::net::TcpListener;

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
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8001,
            metrics: true,
        }
    }
}

/// A bound listener and what it will serve.
pub struct Ops {
    listener: TcpListener,
    router: Router,
}

impl Ops {
    /// Binds, so that a taken port is known before anything starts. `admin` joins the pages of the trace sink.
    pub async fn bind(config: &OpsConfig, runtime: &Runtime, admin: Option<Router>) -> anyhow::Result<Self> {
        let address = format!("{}:{}", config.host, config.port);
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("the operators' listener on {address} (`ops.port`, --admin-port)"))?;
        let router = ops_router(runtime.clone(), config.metrics).merge(admin.unwrap_or_default());
        Ok(Self { listener, router })
    }

    /// Where it listens.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until it is dropped, also during a drain: whoever watches sees `/readyz` say no and `/healthz` say yes.
    pub async fn serve(self) {
        if let Err(error) = axum::serve(self.listener, self.router).await {
            tracing::error!(%error, "the operators' listener has ended");
        }
    }
}
