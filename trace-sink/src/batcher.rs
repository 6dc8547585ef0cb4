//! Many outcomes, one transaction: a task gathers what arrives within a few milliseconds, or while it was busy, and folds
//! it at once. Each outcome's caller waits for its own result.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::StageError;
use relay_store::{Folded, Store, StoreError, Stored};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::Config;
use crate::metrics::Metrics;

/// The store as `/readyz` names it.
pub(crate) const STORE: &str = "store";

type Result<T> = std::result::Result<T, StageError>;

/// One outcome, and where its caller waits.
struct Waiting {
    stored: Stored,
    told: oneshot::Sender<Result<Folded>>,
}

/// Hands outcomes to the task.
pub(crate) struct Batcher {
    queue: mpsc::Sender<Waiting>,
}

/// The task.
pub(crate) struct Folding {
    queue: mpsc::Receiver<Waiting>,
    store: Arc<dyn Store>,
    metrics: Metrics,
    most: usize,
    wait: Duration,
}

impl Batcher {
    pub(crate) fn new(config: &Config, store: Arc<dyn Store>, metrics: Metrics) -> (Self, Folding) {
        let most = config.batch_records.max(1);
        let (sender, queue) = mpsc::channel(most);
        let folding = Folding {
            queue,
            store,
            metrics,
            most,
            wait: Duration::from_millis(config.batch_wait_ms),
        };
        (Self { queue: sender }, folding)
    }

    /// Waits until the outcome is folded and says what it turned out to be.
    pub(crate) async fn fold(&self, stored: Stored) -> Result<Folded> {
        let ended = || StageError::Fatal("the batcher has ended".to_owned());
        let (told, result) = oneshot::channel();
        let handed = self.queue.send(Waiting { stored, told }).await;
        handed.map_err(|_| ended())?;
        result.await.map_err(|_| ended())?
    }
}

impl Folding {
    /// Folds until nobody hands over any more.
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let batch = self.gather(first).await;
            self.fold(batch).await;
        }
    }

    async fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let until = Instant::now() + self.wait;
        let mut batch = vec![first];
        while batch.len() < self.most {
            match timeout_at(until, self.queue.recv()).await {
                Ok(Some(next)) => batch.push(next),
                Ok(None) | Err(_) => break,
            }
        }
        batch
    }

    async fn fold(&self, batch: Vec<Waiting>) {
        let (outcomes, told): (Vec<Stored>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.stored, waiting.told))
            .unzip();
        let timer = self.metrics.fold_began(outcomes.len());
        let results = match self.store.fold(&outcomes).await {
            Ok(folded) => folded.into_iter().map(Ok).collect(),
            Err(StoreError::Refused(_)) if outcomes.len() > 1 => self.one_by_one(&outcomes).await,
            Err(error) => outcomes.iter().map(|_| Err(stage_error(&error))).collect(),
        };
        timer.observe_duration();
        for (told, result) in told.into_iter().zip(results) {
            // A caller that no longer waits is being stopped; its record comes again.
            drop(told.send(result));
        }
    }

    /// One outcome that the store refuses must not take the others with it.
    async fn one_by_one(&self, outcomes: &[Stored]) -> Vec<Result<Folded>> {
        let mut results = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let folded = self.store.fold(std::slice::from_ref(outcome)).await;
            let folded = folded.map_err(|error| stage_error(&error));
            let missing = || {
                Err(StageError::Fatal(
                    "the store folded one outcome and told nothing".to_owned(),
                ))
            };
            results.push(folded.and_then(|folded| folded.first().copied().map_or_else(missing, Ok)));
        }
        results
    }
}

fn stage_error(error: &StoreError) -> StageError {
    match error {
        StoreError::Unavailable(reason) => StageError::Unavailable {
            dependency: STORE,
            reason: reason.clone(),
        },
        StoreError::Refused(_) => StageError::Poison(error.to_string()),
        StoreError::Fatal(_) => StageError::Fatal(error.to_string()),
    }
}
