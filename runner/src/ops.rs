//! What probes and Prometheus ask of any process: `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prometheus::{Encoder, TextEncoder};
use serde_json::{Map, Value, json};

use crate::runtime::Runtime;

/// Answers for this process; `/metrics` only if asked for. Whoever embeds it says what other addresses get.
pub fn ops_router(runtime: Runtime, metrics: bool) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready));
    if metrics {
        router = router.route("/metrics", get(text));
    }
    router.with_state(runtime)
}

async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Ready while the process waits for nothing and takes new work. What it goes on without is named too.
async fn ready(State(runtime): State<Runtime>) -> Response {
    let draining = runtime.shutdown.is_ending();
    let all = runtime.health.all().into_iter();
    let missing: Map<String, Value> = all
        .filter_map(|(name, reason)| Some((name.to_owned(), json!(reason?))))
        .collect();
    let (code, status) = match (draining, missing.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    let body = json!({
        "status": status,
        "ready": code == StatusCode::OK,
        "draining": draining,
        "missing": missing,
        "degraded": runtime.health.lessened(),
        "dependencies": runtime.health.told(),
    });
    (code, Json(body)).into_response()
}

async fn text(State(runtime): State<Runtime>) -> Response {
    let mut text = Vec::with_capacity(16_384);
    match TextEncoder::new().encode(&runtime.metrics.gather(), &mut text) {
        Ok(()) => {
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(CONTENT_TYPE, format)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
