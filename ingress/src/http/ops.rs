//! What operators and probes ask.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use prometheus::{Encoder, TextEncoder};
use relay_schemas::TimestampMs;
use serde_json::json;

use super::response;
use crate::answer;
use crate::gateway::Gateway;
use crate::refusal::Refusal;

pub async fn alive() -> Response<Body> {
    response::json(StatusCode::OK, json!({"status": "ok"}).to_string())
}

/// Ready only when nothing is missing: not the log, not the control seam, not the reply subscription, not the log's outcomes.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let all = gateway.runtime.health.all();
    let missing: serde_json::Map<_, _> = all
        .into_iter()
        .filter_map(|(name, reason)| Some((name.to_owned(), json!(reason?))))
        .collect();
    let draining = gateway.runtime.shutdown.is_draining();
    if missing.is_empty() && !draining {
        return response::json(StatusCode::OK, json!({"status": "ready"}).to_string());
    }
    let status = if draining { "draining" } else { "unavailable" };
    let body = json!({"status": status, "missing": missing});
    response::json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    if !gateway.config.metrics_enabled {
        return unknown_route().await;
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::with_capacity(16_384);
    if let Err(error) = encoder.encode(&gateway.runtime.metrics.gather(), &mut text) {
        tracing::error!(%error, "the metrics cannot be written");
        return response::error(&Refusal::internal());
    }
    let mut response = Response::new(Body::from(text));
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}

pub async fn models(State(gateway): State<Arc<Gateway>>) -> Response<Body> {
    let models = gateway.heard.lock().models(TimestampMs::now());
    response::json(StatusCode::OK, answer::models(models.into_iter()))
}

pub async fn unknown_route() -> Response<Body> {
    response::error(&Refusal::unknown_route())
}

pub async fn wrong_method() -> Response<Body> {
    response::error(&Refusal::wrong_method())
}
