//! `GET /healthz`, `/readyz` and `/metrics`: what operators and probes ask.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use prometheus::{Encoder, TextEncoder};
use serde_json::json;

use super::response;
use super::state::Probed;
use crate::refusal::Refusal;

/// Alive while it answers.
pub async fn alive() -> Response<Body> {
    response::json(StatusCode::OK, json!({"status": "ok"}).to_string())
}

/// Ready only when nothing is missing: not the log, not the control seam, not the reply subscription, not the log's outcomes.
pub async fn ready(State(probed): State<Probed>) -> Response<Body> {
    let all = probed.health.all();
    let missing: serde_json::Map<_, _> = all
        .into_iter()
        .filter_map(|(name, reason)| Some((name.to_owned(), json!(reason?))))
        .collect();
    let draining = probed.shutdown.is_draining();
    if missing.is_empty() && !draining {
        return response::json(StatusCode::OK, json!({"status": "ready"}).to_string());
    }
    let status = if draining { "draining" } else { "unavailable" };
    let body = json!({"status": status, "missing": missing});
    response::json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// Every metric of the process.
pub async fn metrics(State(probed): State<Probed>) -> Response<Body> {
    let Some(registry) = probed.metrics else {
        return response::unknown_route().await;
    };
    let encoder = TextEncoder::new();
    let mut text = Vec::with_capacity(16_384);
    if let Err(error) = encoder.encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "the metrics cannot be written");
        return response::error(&Refusal::internal());
    }
    let mut response = Response::new(Body::from(text));
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}
