//! What operators see: the list of traces and each one's whole story, as pages or as JSON. Reads only.
//!
//! Pages are plain: everything is escaped by the templates' engine, no script runs, and the browser is told to allow none.

mod list;
mod pages;
mod time;
mod trace;
mod waterfall;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use relay_store::{StoreError, Traces};
use serde::Serialize;

/// Nothing but our own style sheet and forms that lead back here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/admin`, `/admin/traces` and `/admin/traces/{request_id}` over `traces`. For a listener that only operators reach.
pub fn admin_router(traces: Arc<dyn Traces>) -> Router {
    Router::new()
        .route("/admin", get(|| async { Redirect::to("/admin/traces") }))
        .route("/admin/style.css", get(style))
        .route("/admin/traces", get(list::show))
        .route("/admin/traces/{request_id}", get(trace::show))
        .layer(middleware::from_fn(harden))
        .with_state(traces)
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../templates/style.css"),
    )
}

async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the client asks for JSON: `?format=json`, else the `Accept` header.
fn wants_json(format: Option<&str>, headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    match format {
        Some(format) => format == "json",
        None => accept.contains("application/json") && !accept.contains("text/html"),
    }
}

/// What went wrong, in the form that was asked for.
struct Failure {
    json: bool,
    status: StatusCode,
    message: String,
}

impl Failure {
    fn bad_request(json: bool, message: String) -> Self {
        Self {
            json,
            status: StatusCode::BAD_REQUEST,
            message,
        }
    }

    fn not_found(json: bool, message: String) -> Self {
        Self {
            json,
            status: StatusCode::NOT_FOUND,
            message,
        }
    }

    fn of_store(json: bool, error: &StoreError) -> Self {
        tracing::warn!(%error, "the traces cannot be shown");
        let status = match error {
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Refused(_) | StoreError::Fatal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            json,
            status,
            message: error.to_string(),
        }
    }
}

#[derive(Serialize)]
struct FailurePage<'a> {
    title: &'a str,
    message: &'a str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.json {
            let body = serde_json::json!({ "error": { "message": self.message } });
            return (self.status, axum::Json(body)).into_response();
        }
        let title = self.status.canonical_reason().unwrap_or("Failure");
        let view = FailurePage {
            title,
            message: &self.message,
        };
        (self.status, pages::render("failure.html", &view)).into_response()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use relay_schemas::{CacheFlags, Decoding, Plan, Planning, TimestampMs, TokenCount, Verifier};

    use super::*;

    pub(crate) fn planning() -> Planning {
        Planning {
            plan: Plan {
                policy_version: "default@0".to_owned(),
                tier: "small".to_owned(),
                candidates: Vec::new(),
                decoding: Decoding {
                    profile: "greedy".to_owned(),
                    max_tokens: TokenCount(1),
                    temperature: 0.0,
                    top_p: None,
                    top_k: None,
                    seed: None,
                    stop: Vec::new(),
                },
                lane_threshold_tokens: TokenCount(1),
                predicted_tokens: TokenCount(1),
                slo_ttft_ms: 1,
                deadline: TimestampMs(1),
                cache: CacheFlags {
                    exact: true,
                    semantic: false,
                    ttl_ms: 1,
                },
                verifier: Verifier::Off,
                signature: String::new(),
                plan_hash: String::new(),
            },
            rules: Vec::new(),
            adjustments: Vec::new(),
            handovers: Vec::new(),
            planned_at: TimestampMs(1),
        }
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        let cases = [
            (None, "application/json", true),
            (
                None,
                "text/html,application/xhtml+xml,application/json;q=0.9",
                false,
            ),
            (None, "*/*", false),
            (None, "", false),
            (Some("json"), "text/html", true),
            (Some("html"), "application/json", false),
        ];
        for (format, accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_json(format, &headers), expected, "{format:?}, {accept}");
        }
    }
}
