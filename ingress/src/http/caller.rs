//! The caller of an operation: the tenant, what the headers say, and the exchange that ends with the response.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, FromRequestParts, MatchedPath};
use axum::http::Response;
use axum::http::request::Parts;

use super::exchange::Exchange;
use super::state::{Counted, Deadlines};
use super::{headers, response};
use crate::admission::refusals::Refusals;
use crate::admission::request::Call;
use crate::refusal::Refusal;

/// A named caller; a call whose headers are wrong does not reach the handler.
pub struct Caller {
    /// What the headers say.
    pub call: Call,
    /// The exchange that began with it.
    pub exchange: Exchange,
    refusals: Arc<Refusals>,
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Counted: FromRef<S>,
    Deadlines: FromRef<S>,
    Arc<Refusals>: FromRef<S>,
{
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let endpoint = parts.extensions.get::<MatchedPath>().cloned();
        let refusals = Arc::<Refusals>::from_ref(state);
        let mut exchange = Exchange::begin(Counted::from_ref(state), endpoint);
        let tenant = match headers::tenant(&parts.headers) {
            Ok(tenant) => tenant,
            // A caller without a name leaves no record.
            Err(refusal) => {
                exchange.fails(&refusal);
                return Err(exchange.answer(response::error(&refusal), &refusals.ids.fresh()));
            }
        };
        exchange.of(&tenant, headers::key_name(&parts.headers));
        match headers::call(&parts.headers, tenant.clone(), Deadlines::from_ref(state)) {
            Ok(call) => Ok(Self {
                call,
                exchange,
                refusals,
            }),
            Err(refusal) => Err(refuse(exchange, &refusals, &tenant, &refusal)),
        }
    }
}

impl Caller {
    /// The response to a call that was not accepted.
    pub fn refuse(self, refusal: &Refusal) -> Response<Body> {
        refuse(self.exchange, &self.refusals, &self.call.tenant, refusal)
    }
}

/// A refusal has an id of its own: under a key, the request's id belongs to the first that used it.
fn refuse(
    mut exchange: Exchange,
    refusals: &Refusals,
    tenant: &relay_schemas::TenantId,
    refusal: &Refusal,
) -> Response<Body> {
    let id = refusals.ids.fresh();
    if refusal.status < 500 {
        refusals.record(&id, tenant, refusal);
    }
    exchange.fails(refusal);
    exchange.answer(response::error(refusal), &id)
}
