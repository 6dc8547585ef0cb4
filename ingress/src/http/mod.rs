//! The HTTP face: a file an endpoint, and what the endpoints share.

pub mod app;
mod body;
mod caller;
mod chat;
mod completions;
mod delivery;
mod embeddings;
mod exchange;
mod headers;
mod held;
mod models;
pub mod operation;
mod response;
pub mod state;
mod stream;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response_with_state};
use axum::routing::{get, post};

use app::App;
use relay_runner::Shutdown;

/// Every address of an ingress; `ops` answers probes.
pub fn router(app: App, ops: Router, shutdown: Shutdown) -> Router {
    let ids = app.refusals.ids.clone();
    Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/completions", post(completions::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/", get(response::root))
        .route("/v1", get(response::root))
        .route("/v1/", get(response::root))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*name}", get(models::retrieve))
        .with_state(app)
        .merge(ops)
        .fallback(response::unknown_route)
        .method_not_allowed_fallback(response::wrong_method)
        .layer(map_response_with_state(ids, response::with_request_id))
        .layer(from_fn_with_state(shutdown, response::last_of_a_lame_duck))
}
