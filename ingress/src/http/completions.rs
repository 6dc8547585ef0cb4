//! `POST /v1/completions`.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use relay_schemas::Operation;

use super::caller::Caller;
use super::operation::Door;

/// The handler.
pub async fn create(State(door): State<Door>, caller: Caller, body: Body) -> Response<Body> {
    door.serve(Operation::Completion, caller, body).await
}
