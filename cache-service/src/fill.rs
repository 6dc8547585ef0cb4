//! `relay.outcomes.v1` → entries, from winning outcomes only.
//!
//! In order: which of two outcomes of one request won is told by their order, so they must be seen in order.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::{Partition, Record};
use relay_clock::Clock;
use relay_runner::{Stage, StageError, Standing, Step, Winners, read_outcome};
use relay_schemas::{Outcome, Registry};

use crate::eligibility::{NotCached, entry_of};
use crate::levels::{FillResult, Levels};
use crate::metrics::Metrics;

pub(crate) struct FillStage {
    pub(crate) levels: Arc<Levels>,
    pub(crate) clock: Clock,
    pub(crate) winners: Winners,
    pub(crate) schemas: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) max_entry_bytes: usize,
}

#[async_trait]
impl Stage for FillStage {
    type Effect = ();

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        let outcome = read_outcome(&self.schemas, record)?;
        match self.winners.note(&outcome.request_id, record).await? {
            Standing::Superseded => self.metrics.superseded(),
            Standing::Winner => self.fill(&outcome, record).await,
        }
        Ok(Step::nothing())
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        self.winners.keep(owned);
    }

    async fn after_ack(&self, (): ()) {}
}

impl FillStage {
    async fn fill(&self, outcome: &Outcome, record: &Record) {
        let now = self.clock.now();
        let result = match entry_of(outcome, &record.position, now) {
            Err(reason) => reason.name(),
            Ok(entry) => match self.levels.fill(entry, self.max_entry_bytes, now).await {
                FillResult::Filled => "filled",
                FillResult::Present => "present",
                FillResult::TooLarge => NotCached::TooLarge.name(),
            },
        };
        self.metrics.filled(result, self.levels.lru.bytes());
    }
}
