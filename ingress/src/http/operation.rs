//! What every operation goes through, from its body to its response.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use relay_schemas::{Operation, RequestId};

use super::caller::Caller;
use super::state::{Bodies, KeepAlive};
use super::{body, delivery};
use crate::admission::admit::{Admission, Admitted, Entered};
use crate::admission::request::Rules;
use crate::refusal::Refusal;

/// The door of the operations.
#[derive(Clone)]
pub struct Door {
    /// The way in.
    pub admission: Arc<Admission>,
    /// What a body may ask for.
    pub rules: Arc<Rules>,
    /// Bounds of a body.
    pub bodies: Bodies,
    /// Bounds of a silence.
    pub keep_alive: KeepAlive,
}

impl Door {
    /// Answers a call.
    pub async fn serve(&self, operation: Operation, mut caller: Caller, body: Body) -> Response<Body> {
        let keyed = caller.call.key.is_some();
        let shutdown = &self.admission.shutdown;
        let admitted = tokio::select! {
            biased;
            admitted = self.admit(operation, &mut caller, body) => admitted,
            () = shutdown.stopped() => {
                shutdown.cut(1);
                Err(Refusal::shut_down(keyed))
            }
        };
        match admitted {
            Ok(admitted) => delivery::deliver(caller.exchange, admitted, self.keep_alive).await,
            Err(refusal) => caller.refuse(&refusal),
        }
    }

    async fn admit(
        &self,
        operation: Operation,
        caller: &mut Caller,
        body: Body,
    ) -> Result<Admitted, Refusal> {
        let Caller { call, exchange, .. } = caller;
        let place = match self.admission.enter(&call.tenant) {
            Ok(place) => place,
            Err(refusal) => {
                body::pass_over(body, self.bodies, &self.admission.shutdown).await;
                return Err(refusal);
            }
        };
        let (body, room) = body::read(body, &call.tenant, &self.admission, self.bodies).await?;
        let parsed = self.rules.parse(operation, body)?;
        exchange.asks_for(&parsed.model);
        let entered = Entered { place, room };
        let named = |id: &RequestId| exchange.is_named(id);
        self.admission.admit(call, parsed, entered, named).await
    }
}
