//! `GET /v1/models`, and each of them: the names that the policy takes and a live worker can run.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use relay_api::models::{model, models};

use super::response;
use super::state::Catalogue;
use crate::refusal::Refusal;

/// All of them.
pub async fn list(State(catalogue): State<Catalogue>) -> Response<Body> {
    let list = catalogue.look(|listed| models(listed.iter().map(|(name, created)| (*name, *created))));
    response::json(StatusCode::OK, list)
}

/// The one of that name, which may hold slashes.
pub async fn retrieve(State(catalogue): State<Catalogue>, Path(name): Path<String>) -> Response<Body> {
    let found = catalogue.look(|listed| listed.get(name.as_str()).map(|created| model(&name, *created)));
    match found {
        Some(found) => response::json(StatusCode::OK, found),
        None => response::error(&Refusal::no_such_model(&name)),
    }
}
