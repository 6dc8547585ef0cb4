//! What folding tells the log: how far it is, and which records it cannot use.

use std::time::Duration;

use relay_bus::{BusError, Commit, Outgoing, Record};
use relay_runner::{Backoff, Identity, Runtime, crash_point, dependency, poisoned, retry_forever};

use super::ground::GROUP;
use crate::metrics::Metrics;

/// Most bytes of a record's value that its dead letter keeps.
const KEPT_OF_DEAD: usize = 64 * 1024;
/// Pauses between two tries to reach the log.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Publishes.
pub(super) struct Deliver<'a> {
    pub runtime: &'a Runtime,
    pub identity: &'a Identity,
    pub metrics: &'a Metrics,
}

impl Deliver<'_> {
    /// A dead letter takes the place of `record`.
    pub(super) async fn bury(&self, record: &Record, reason: &str) -> Result<(), BusError> {
        let position = &record.position;
        tracing::error!(
            messaging.topic = position.partition.topic,
            messaging.partition = position.partition.partition,
            messaging.offset = position.offset,
            messaging.group = GROUP,
            "an outcome becomes a dead letter, which holds the reason"
        );
        self.metrics.dead();
        let now = self.runtime.clock.now();
        let letters = poisoned(record, reason, GROUP, KEPT_OF_DEAD, self.identity, now);
        match self.persist(&letters, &[]).await {
            Err(error @ BusError::TooLarge { .. }) => {
                tracing::error!(%error, "even the dead letter is too large; the record is passed over");
                Ok(())
            }
            result => result,
        }
    }

    /// Tells the group how far outcomes are folded.
    pub(super) async fn commit(&self, commits: &[Commit]) -> Result<(), BusError> {
        crash_point(self.identity.service, "before_commit");
        self.persist(&[], commits).await?;
        crash_point(self.identity.service, "after_commit");
        Ok(())
    }

    /// Publishes until it is acknowledged, for as long as that takes.
    async fn persist(&self, records: &[Outgoing], commits: &[Commit]) -> Result<(), BusError> {
        let Runtime { bus, health, .. } = self.runtime;
        let publish = || bus.publish(records.to_vec(), commits.to_vec());
        retry_forever(health, dependency::BUS, Backoff::new(FIRST, LONGEST), publish)
            .await
            .map(drop)
    }
}
