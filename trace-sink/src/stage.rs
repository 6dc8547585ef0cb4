//! From a record to its place in the store.

use async_trait::async_trait;
use relay_bus::Record;
use relay_runner::{Stage, StageError, Step};

use crate::batcher::Batcher;

/// Folds every outcome once; many at a time, so that they share transactions, and in order, so that whoever asks is never told
/// of a later outcome while an earlier one waits for the store.
pub(crate) struct FoldStage {
    pub(crate) batcher: Batcher,
}

#[async_trait]
impl Stage for FoldStage {
    type Effect = ();

    fn on_begin(&self, record: &Record) {
        self.batcher.enqueue(record.clone());
    }

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        self.batcher.folded(record).await?;
        Ok(Step::nothing())
    }

    async fn after_ack(&self, (): ()) {}
}
