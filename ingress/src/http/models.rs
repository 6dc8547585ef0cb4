//! `GET /v1/models`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::json;

use super::response;
use super::state::Catalogue;

/// Every model that a live worker runs.
pub async fn list(State(catalogue): State<Catalogue>) -> Response<Body> {
    let live = catalogue.models.lock().live(catalogue.clock.now());
    let data: Vec<_> = live
        .into_iter()
        .map(|(id, created)| json!({"id": id, "object": "model", "created": created, "owned_by": "relay"}))
        .collect();
    response::json(
        StatusCode::OK,
        json!({"object": "list", "data": data}).to_string(),
    )
}
