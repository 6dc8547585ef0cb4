//! Asks and follows the log as a stateful stage does: whatever interrupts it, until there is an answer.

use relay_bus::{BusError, OffsetRange, Partition};

use crate::backoff::Backoff;
use crate::health::dependency::BUS;
use crate::retry::retry_forever;
use crate::runtime::Runtime;
use crate::tail::{Follow, Report, Tail};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct LogClient {
    runtime: Runtime,
    backoff: Backoff,
    batches: usize,
}

impl LogClient {
    /// Waits by `backoff` while the log is away; of each tail at most `batches` reads wait to be taken.
    pub fn new(runtime: Runtime, backoff: Backoff, batches: usize) -> Self {
        Self {
            runtime,
            backoff,
            batches,
        }
    }

    /// The process that it serves.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The waits between two tries.
    pub fn backoff(&self) -> Backoff {
        self.backoff.clone()
    }

    /// Asks the bus until it answers.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn ask<T, F: Future<Output = Result<T, BusError>>>(
        &self,
        ask: impl FnMut() -> F,
    ) -> Result<T, BusError> {
        retry_forever(&self.runtime.health, BUS, self.backoff(), ask).await
    }

    /// Follows these topics from there on, for ever.
    pub fn tail(&self, from: impl IntoIterator<Item = (Partition, i64)>) -> Tail {
        self.follow(Follow::topics(from))
    }

    /// Follows this partition alone, whatever its topic grows to.
    pub fn tail_of(&self, partition: Partition, from: i64) -> Tail {
        self.follow(Follow::partitions([(partition, from)]))
    }

    fn follow(&self, follow: Follow) -> Tail {
        let health = self.runtime.health.clone();
        let report: Report = Box::new(move |reached| match reached {
            Ok(()) => health.up(BUS),
            Err(reason) => health.down(BUS, reason),
        });
        Tail::open(&self.runtime, follow, self.batches, self.backoff(), report)
    }

    /// What each partition of a topic holds now.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn ranges(&self, topic: &str) -> Result<Vec<(Partition, OffsetRange)>, BusError> {
        let bus = &self.runtime.bus;
        let count = self.ask(|| bus.partitions(topic)).await?;
        let ask = |number| async move {
            let partition = Partition::new(topic, number);
            let range = self.ask(|| bus.range(&partition)).await?;
            Ok((partition, range))
        };
        futures::future::try_join_all((0..count).map(ask)).await
    }
}
