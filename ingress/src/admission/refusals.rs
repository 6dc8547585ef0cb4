//! Records refusals of known tenants: a fresh id, no content, and no more of them a second than is configured.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntCounterVec;
use relay_bus::{Bus, Headers, header};
use relay_clock::Clock;
use relay_lifecycle::{Ending, Known, end};
use relay_runner::outcome_record;
use relay_schemas::{OutcomeStatus, RequestId, Run, TenantId, TimestampMs};
use tokio_util::task::TaskTracker;

use crate::ids::Ids;
use crate::refusal::Refusal;

/// Bounds the records: a window of one second, counted.
#[derive(Debug)]
pub struct Budget {
    per_second: u32,
    window: Mutex<(i64, u32)>,
}

impl Budget {
    /// Allows `per_second` records.
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second,
            window: Mutex::new((0, 0)),
        }
    }

    /// Whether another record may be written now.
    fn take(&self, now: TimestampMs) -> bool {
        let mut window = self.window.lock();
        let second = now.0.div_euclid(1_000);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 += 1;
        window.1 <= self.per_second
    }
}

/// Records refusals.
pub struct Refusals {
    /// Where.
    pub bus: Arc<dyn Bus>,
    /// How many.
    pub budget: Budget,
    /// The run that refuses.
    pub run: Run,
    /// Records under way.
    pub tasks: TaskTracker,
    /// Counts them.
    pub count: IntCounterVec,
    /// Names them.
    pub ids: Ids,
    /// Says when.
    pub clock: Clock,
}

impl Refusals {
    /// Records that `tenant` was refused, in the background; the client does not wait for it.
    pub fn record(&self, request: &RequestId, tenant: &TenantId, refusal: &Refusal) {
        let now = self.clock.now();
        if !self.budget.take(now) {
            self.count.with_label_values(&["dropped"]).inc();
            return;
        }
        self.count.with_label_values(&["written"]).inc();
        let ending = Ending {
            retry_after_ms: refusal.retry_after_ms,
            ..Ending::because(OutcomeStatus::Refused, &refusal.code, refusal.message.clone())
        };
        let outcome = Arc::new(end(
            Known::Headers(request, tenant),
            self.run.clone(),
            ending,
            now,
        ));
        let mut headers = Headers::default();
        headers.set(header::REQUEST_ID, request.as_str().to_owned());
        headers.set(header::TENANT, tenant.as_str().to_owned());
        let bus = Arc::clone(&self.bus);
        self.tasks.spawn(async move {
            if let Err(error) = bus
                .publish(vec![outcome_record(&outcome, headers).sealed()], Vec::new())
                .await
            {
                tracing::warn!(request.id = %outcome.request_id, %error, "a refusal could not be recorded");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_records_a_second_than_configured() {
        let budget = Budget::new(2);
        let allowed = |ms| budget.take(TimestampMs(ms));
        assert_eq!(
            [allowed(0), allowed(1), allowed(999), allowed(1_000)],
            [true, true, false, true]
        );
    }
}
