//! Durable accept: a request counts from the moment the log acknowledged it.

use std::time::Duration;

use relay_bus::{BusError, Headers, Outgoing, header, topics};
use relay_runner::crash_point;
use relay_schemas::{Request, encode};

use crate::gateway::Gateway;
use crate::refusal::Refusal;

/// What the log said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It has the request.
    Yes,
    /// It did not answer in time, or lost contact: the request may run.
    Unknown,
}

/// The record that makes `request` accepted.
pub fn record(request: &Request, traceparent: Option<&str>) -> Outgoing {
    let mut headers = Headers::of(request);
    if let Some(traceparent) = traceparent {
        headers.set(header::TRACEPARENT, traceparent.to_owned());
    }
    let key = request.request_id.as_str().to_owned();
    Outgoing::keyed(topics::REQUESTS, key, headers, encode(request))
}

/// Publishes `request` and waits for the acknowledgement.
///
/// # Errors
/// Only where it is certain that the log did not take it.
pub async fn publish(
    gateway: &Gateway,
    request: &Request,
    traceparent: Option<&str>,
) -> Result<Accepted, Refusal> {
    crash_point(gateway.identity.service, "before_accept");
    let timer = gateway.metrics.accept.start_timer();
    let mut record = record(request, traceparent);
    relay_bus::stamp(&mut record.headers, record.value.as_deref().unwrap_or_default());
    let publish = gateway.runtime.bus.publish(vec![record], Vec::new());
    let patience = Duration::from_millis(gateway.config.accept_timeout_ms);
    let result = tokio::time::timeout(patience, publish).await;
    timer.observe_duration();
    match result {
        Ok(Ok(_)) => {
            crash_point(gateway.identity.service, "after_accept");
            Ok(Accepted::Yes)
        }
        Err(_) => {
            tracing::warn!(request.id = %request.request_id, "the log does not acknowledge; the result is unknown");
            Ok(Accepted::Unknown)
        }
        Ok(Err(BusError::Unavailable(reason))) => {
            tracing::warn!(request.id = %request.request_id, reason, "the log is unavailable; the result is unknown");
            Ok(Accepted::Unknown)
        }
        Ok(Err(BusError::TooLarge { limit, .. })) => Err(Refusal::too_large(limit)),
        Ok(Err(error @ (BusError::UnknownTopic(_) | BusError::Fatal(_)))) => {
            tracing::error!(request.id = %request.request_id, %error, "the log refuses requests");
            Err(Refusal::internal())
        }
    }
}
