//! `POST /v1/chat/completions`.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use relay_schemas::Operation;

use super::caller::Caller;
use super::operation::Door;

/// The handler.
pub async fn completions(State(door): State<Door>, caller: Caller, body: Body) -> Response<Body> {
    door.serve(Operation::Chat, caller, body).await
}
