//! `GET /v1/models`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use relay_api::models::models;

use super::response;
use super::state::Catalogue;

/// Every model that a live worker runs.
pub async fn list(State(catalogue): State<Catalogue>) -> Response<Body> {
    let live = catalogue.models.lock().live(catalogue.clock.steady());
    response::json(StatusCode::OK, models(live))
}
