//! What folding tells the log: how far it is, and which records it cannot use.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_bus::{BusError, Commit, Outgoing};
use relay_runner::{Backoff, Identity, Runtime, crash_point, dependency, poisoned, retry_forever};

use super::ground::{GROUP, outcomes};
use super::sorting::Dead;
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
    /// Tells the group how far outcomes are folded, and with it publishes what takes the place of those that cannot be used.
    pub(super) async fn tell(&self, dead: &[Dead], folded: &BTreeMap<i32, i64>) -> Result<(), BusError> {
        let letters: Vec<Outgoing> = dead.iter().flat_map(|dead| self.letter(dead)).collect();
        let commit = |(number, next): (&i32, &i64)| Commit {
            group: GROUP.to_owned(),
            partition: outcomes(*number),
            next: *next,
        };
        let commits: Vec<Commit> = folded.iter().map(commit).collect();
        if letters.is_empty() && commits.is_empty() {
            return Ok(());
        }
        crash_point(self.identity.service, "before_commit");
        match self.persist(&letters, &commits).await {
            Err(BusError::TooLarge { .. }) => self.tell_singly(letters, &commits).await?,
            told => told?,
        }
        crash_point(self.identity.service, "after_commit");
        Ok(())
    }

    /// One that is too large must not take the others with it.
    async fn tell_singly(&self, letters: Vec<Outgoing>, commits: &[Commit]) -> Result<(), BusError> {
        for letter in letters {
            match self.persist(&[letter], &[]).await {
                Err(error @ BusError::TooLarge { .. }) => {
                    tracing::error!(%error, "even the dead letter is too large; the record is passed over");
                }
                published => published?,
            }
        }
        self.persist(&[], commits).await
    }

    fn letter(&self, Dead { record, reason }: &Dead) -> Vec<Outgoing> {
        let position = &record.position;
        tracing::error!(
            messaging.topic = position.partition.topic.as_str(),
            messaging.partition = position.partition.partition,
            messaging.offset = position.offset,
            messaging.group = GROUP,
            "an outcome becomes a dead letter, which holds the reason"
        );
        self.metrics.dead();
        let now = self.runtime.clock.now();
        poisoned(record, reason, GROUP, KEPT_OF_DEAD, self.identity, now)
    }

    /// Publishes until it is acknowledged, for as long as that takes.
    async fn persist(&self, records: &[Outgoing], commits: &[Commit]) -> Result<(), BusError> {
        let Runtime {
            bus, health, chance, ..
        } = self.runtime;
        let publish = || bus.publish(records.to_vec(), commits.to_vec());
        retry_forever(
            health,
            dependency::BUS,
            Backoff::new(FIRST, LONGEST, chance),
            publish,
        )
        .await
        .map(drop)
    }
}
