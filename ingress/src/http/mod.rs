//! The HTTP face: addresses, and what they share.

mod admit;
mod call;
mod chat;
mod exchange;
mod ops;
mod response;
mod server;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::{get, post};

use crate::gateway::Gateway;
pub use server::serve;

/// Every address of an ingress.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(ops::models))
        .route("/healthz", get(ops::alive))
        .route("/readyz", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .fallback(ops::unknown_route)
        .method_not_allowed_fallback(ops::wrong_method)
        .layer(map_response(response::with_request_id))
        .with_state(gateway)
}
