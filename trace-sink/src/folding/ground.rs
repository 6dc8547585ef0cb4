//! What folding stands on.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Partition, topics};
use relay_runner::{Backoff, Identity, Runtime};
use relay_store::{Outcomes, Positions};

use super::batch::Limits;
use crate::condition::Condition;
use crate::metrics::Metrics;

/// The consumer group.
pub(super) const GROUP: &str = "relay.trace-sink";
/// Pauses between two tries to reach the log.
pub(super) const FIRST: Duration = Duration::from_millis(100);
pub(super) const LONGEST: Duration = Duration::from_secs(2);
/// Between two tries of a store that is away: the first wait, and the longest.
pub(super) const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// The parts, as the service hands them over.
pub(crate) struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) identity: Identity,
    pub(crate) outcomes: Arc<dyn Outcomes>,
    pub(crate) condition: Arc<Condition>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
}

impl Ground {
    /// Where the tables stand, as soon as they say so.
    pub(super) async fn tables_when_reached(&self) -> Positions {
        let mut backoff = Backoff::new(FIRST, LONGEST, &self.runtime.chance);
        loop {
            match self.outcomes.folded().await {
                Ok(folded) => return folded,
                Err(error) => self.condition.folding_waits(&error),
            }
            backoff.wait().await;
        }
    }
}

pub(super) fn outcomes(number: i32) -> Partition {
    Partition::new(topics::OUTCOMES, number)
}
