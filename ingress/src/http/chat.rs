//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::caller::Caller;
use super::state::{Bodies, KeepAlive};
use super::{body, delivery};
use crate::admission::admit::{Admission, Admitted};
use crate::admission::request::Call;
use crate::canonical::{self, Defaults};
use crate::refusal::Refusal;

/// The handler.
pub async fn completions(
    State(admission): State<Arc<Admission>>,
    State(defaults): State<Arc<Defaults>>,
    State(bounds): State<Bodies>,
    State(keep_alive): State<KeepAlive>,
    caller: Caller,
    body: Body,
) -> Response<Body> {
    match admit(&admission, &defaults, bounds, &caller.call, body).await {
        Ok(admitted) => delivery::deliver(caller.exchange, admitted, keep_alive).await,
        Err(refusal) => caller.refuse(&refusal),
    }
}

async fn admit(
    admission: &Admission,
    defaults: &Defaults,
    bounds: Bodies,
    call: &Call,
    body: Body,
) -> Result<Admitted, Refusal> {
    let permit = admission.enter(&call.tenant)?;
    let chat = canonical::chat(&body::read(body, bounds).await?, defaults)?;
    admission.admit(call, chat, permit).await
}
