//! What operators see: the list of traces and each one's whole story, as pages or as JSON. Reads only.
//!
//! Pages are plain: everything is escaped by the templates' engine, no script runs, and the browser is told to allow none.

mod answer;
mod facts;
mod failure;
mod indent;
mod list;
mod pages;
pub(crate) mod time;
mod trace;
mod waterfall;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use relay_store::Traces;

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
