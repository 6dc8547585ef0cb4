//! The record that ends a request.

use relay_bus::topics::OUTCOMES;
use relay_bus::{Headers, Outgoing};
use relay_schemas::{Outcome, encode};

/// `outcome` as it is published; `headers` are those of its request, where they are known. A service that publishes by itself seals it.
pub fn outcome_record(outcome: &Outcome, headers: Headers) -> Outgoing {
    let key = outcome.request_id.as_str().to_owned();
    Outgoing::keyed(OUTCOMES, key, headers, encode(outcome))
}
