//! Durable accept: a request counts from the moment the log acknowledged it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Histogram;
use relay_bus::{Bus, BusError, Headers, Outgoing, header, topics};
use relay_clock::Clock;
use relay_runner::{Took, crash_point};
use relay_schemas::{Payload, Request, Service};

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
pub fn record(request: &Arc<Request>, traceparent: Option<&str>) -> Outgoing {
    let mut headers = Headers::of(request);
    if let Some(traceparent) = traceparent {
        headers.set(header::TRACEPARENT, traceparent.to_owned());
    }
    let key = request.request_id.as_str().to_owned();
    Outgoing::keyed(topics::REQUESTS, key, headers, Payload::of(Arc::clone(request)))
}

/// Hands requests to the log.
pub struct Acceptor {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Longest wait for its acknowledgement; then the result is unknown.
    pub timeout: Duration,
    /// What a client that is refused is told to wait.
    pub retry_after: Duration,
    /// How long it took.
    pub waited: Histogram,
    /// For crash points.
    pub service: Service,
    /// What is told once, and not for each request.
    pub refusing: Refusing,
    /// For that time.
    pub clock: Clock,
}

/// Why the log takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Full,
    Failing,
}

/// Whether the log takes requests, why not, and how many were refused since.
#[derive(Debug, Default)]
pub struct Refusing(Mutex<Option<(Why, u64)>>);

impl Refusing {
    /// Counts a refusal; whether it is the first one for this reason.
    fn begins_or_counts(&self, why: Why) -> bool {
        let mut now = self.0.lock();
        let (before, refused) = now.map_or((None, 0), |(before, refused)| (Some(before), refused));
        *now = Some((why, refused + 1));
        before != Some(why)
    }

    /// The log took a request; how many it had refused before, if any.
    fn ends(&self) -> Option<u64> {
        self.0.lock().take().map(|(_, refused)| refused)
    }
}

impl Acceptor {
    /// Publishes `request` and waits for the acknowledgement.
    ///
    /// # Errors
    /// Only where it is certain that the log did not take it.
    pub async fn accept(
        &self,
        request: &Arc<Request>,
        traceparent: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        crash_point(self.service, "before_accept");
        let took = Took::of(&self.waited, &self.clock);
        let record = record(request, traceparent).sealed();
        let publish = self.bus.publish(vec![record], Vec::new());
        let result = tokio::time::timeout(self.timeout, publish).await;
        drop(took);
        match result {
            Ok(Ok(_)) => {
                if let Some(refused) = self.refusing.ends() {
                    tracing::info!(requests.refused = refused, "the log takes requests again");
                }
                crash_point(self.service, "after_accept");
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
            Ok(Err(BusError::Full(reason))) => {
                if self.refusing.begins_or_counts(Why::Full) {
                    tracing::warn!(
                        reason,
                        "the log's disk is full: requests are refused until it has room"
                    );
                }
                Err(Refusal::insufficient_storage(self.retry_after))
            }
            Ok(Err(BusError::Failing(reason))) => {
                if self.refusing.begins_or_counts(Why::Failing) {
                    tracing::warn!(
                        reason,
                        "the log takes nothing: requests are refused until it does"
                    );
                }
                Err(Refusal::unavailable(
                    "the log takes nothing now",
                    self.retry_after,
                ))
            }
            Ok(Err(BusError::TooLarge { limit, .. })) => Err(Refusal::too_large(limit)),
            Ok(Err(error @ (BusError::UnknownTopic(_) | BusError::Fatal(_)))) => {
                tracing::error!(request.id = %request.request_id, %error, "the log refuses requests");
                Err(Refusal::internal())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_takes_nothing_is_told_once_for_each_reason_and_the_refused_are_counted() {
        let refusing = Refusing::default();
        assert_eq!(refusing.ends(), None);
        let told = [Why::Failing, Why::Failing, Why::Full, Why::Full, Why::Failing]
            .map(|why| refusing.begins_or_counts(why));
        assert_eq!(told, [true, false, true, false, true]);
        assert_eq!((refusing.ends(), refusing.ends()), (Some(5), None));
        assert!(refusing.begins_or_counts(Why::Failing));
    }
}
