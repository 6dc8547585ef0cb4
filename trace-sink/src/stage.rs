//! From a record to its place in the store.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::{Record, Stage, StageError, Step, decode};
use relay_schemas::{Outcome, Registry};
use relay_store::Stored;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Config;
use crate::batcher::Batcher;
use crate::metrics::{Facts, Metrics};

/// Permits count kibibytes, so that they fit where permits are counted in `u32`.
const PERMIT_BYTES: usize = 1_024;

/// Folds every outcome once; many at a time, so that they share transactions.
pub(crate) struct FoldStage {
    schemas: Arc<Registry>,
    batcher: Batcher,
    metrics: Metrics,
    room: Semaphore,
    permits: usize,
}

impl FoldStage {
    pub(crate) fn new(config: &Config, schemas: Arc<Registry>, batcher: Batcher, metrics: Metrics) -> Self {
        let permits = (config.max_in_flight_bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            schemas,
            batcher,
            metrics,
            room: Semaphore::new(permits),
            permits,
        }
    }

    /// Waits until `bytes` more fit into memory.
    async fn make_room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, StageError> {
        let permits = bytes.div_ceil(PERMIT_BYTES).clamp(1, self.permits);
        let permits = self
            .room
            .acquire_many(u32::try_from(permits).unwrap_or(u32::MAX))
            .await;
        permits.map_err(|closed| StageError::Fatal(closed.to_string()))
    }
}

#[async_trait]
impl Stage for FoldStage {
    type Effect = ();

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        let _room = self
            .make_room(record.value.as_deref().map_or(0, <[u8]>::len))
            .await?;
        let outcome: Outcome = decode(&self.schemas, record)?;
        let facts = Facts::of(&outcome);
        let folded = self
            .batcher
            .fold(Stored {
                outcome,
                partition: record.position.partition.partition,
                offset: record.position.offset,
            })
            .await?;
        self.metrics.folded(folded, facts);
        Ok(Step::nothing())
    }

    async fn after_ack(&self, (): ()) {}
}
