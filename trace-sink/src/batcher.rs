//! Many outcomes, one transaction: a task takes records in the order in which they are begun, gathers what arrives within a few
//! milliseconds, or while it was busy, and folds it at once. A store that is away is waited for with the batch in hand, so
//! that nothing overtakes it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::{Position, Record, decode};
use relay_runner::{Backoff, StageError};
use relay_schemas::{Outcome, Registry};
use relay_store::{LoggedOutcome, Outcomes, StoreError, Verdict};
use tokio::sync::{mpsc, oneshot};

use crate::Config;
use crate::metrics::{Facts, Metrics};

/// The store as `/readyz` names it.
pub(crate) const STORE: &str = "store";
/// Between two tries of a store that is away: the first wait, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

type Result<T> = std::result::Result<T, StageError>;

/// A record, and where its caller waits.
struct Enqueued {
    record: Record,
    reply: oneshot::Sender<Result<()>>,
}

/// Hands records to the task.
pub(crate) struct Batcher {
    /// Bounded by what the runner begins.
    queue: mpsc::UnboundedSender<Enqueued>,
    results: Mutex<HashMap<Position, oneshot::Receiver<Result<()>>>>,
}

/// The task.
pub(crate) struct Folding {
    queue: mpsc::UnboundedReceiver<Enqueued>,
    outcomes: Arc<dyn Outcomes>,
    schemas: Arc<Registry>,
    metrics: Metrics,
    most: usize,
    most_bytes: usize,
    wait: Duration,
}

impl Batcher {
    pub(crate) fn new(
        config: &Config,
        outcomes: Arc<dyn Outcomes>,
        schemas: Arc<Registry>,
        metrics: Metrics,
    ) -> (Self, Folding) {
        let (sender, queue) = mpsc::unbounded_channel();
        let folding = Folding {
            queue,
            outcomes,
            schemas,
            metrics,
            most: config.batch_records.max(1),
            most_bytes: config.batch_size.as_usize(),
            wait: config.batch_wait,
        };
        let batcher = Self {
            queue: sender,
            results: Mutex::default(),
        };
        (batcher, folding)
    }

    /// Takes a record in. Called in the order of its partition.
    pub(crate) fn enqueue(&self, record: Record) {
        let position = record.position.clone();
        let result = self.enter(record);
        self.results.lock().insert(position, result);
    }

    fn enter(&self, record: Record) -> oneshot::Receiver<Result<()>> {
        let (reply, result) = oneshot::channel();
        // Where the task has ended, the caller learns it by its result.
        let _ = self.queue.send(Enqueued { record, reply });
        result
    }

    /// Waits until the record is folded. One that is tried again takes its place anew.
    pub(crate) async fn folded(&self, record: &Record) -> Result<()> {
        let waiting = self.results.lock().remove(&record.position);
        let result = waiting.unwrap_or_else(|| self.enter(record.clone()));
        result
            .await
            .map_err(|_| StageError::Fatal("the batcher has ended".to_owned()))?
    }
}

impl Folding {
    /// Folds until nothing is handed over any more.
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let batch = self.gather(first).await;
            self.fold(batch).await;
        }
    }

    async fn gather(&mut self, first: Enqueued) -> Vec<Enqueued> {
        let mut over = std::pin::pin!(tokio::time::sleep(self.wait));
        let mut bytes = size(&first);
        let mut batch = vec![first];
        while batch.len() < self.most && bytes < self.most_bytes {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = &mut over => None,
            };
            let Some(next) = next else { break };
            bytes += size(&next);
            batch.push(next);
        }
        batch
    }

    async fn fold(&self, batch: Vec<Enqueued>) {
        let (mut outcomes, mut replies) = (Vec::new(), Vec::new());
        for Enqueued { record, reply } in batch {
            match self.decode(&record) {
                Ok(logged) => {
                    outcomes.push(logged);
                    replies.push(reply);
                }
                // A caller that no longer waits is being stopped; its record comes again.
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        if outcomes.is_empty() {
            return;
        }
        let timer = self.metrics.fold_began(outcomes.len());
        let results = match self.fold_when_reached(&outcomes).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(StoreError::Refused(_)) if outcomes.len() > 1 => self.one_by_one(&outcomes).await,
            Err(error) => outcomes.iter().map(|_| Err(stage_error(&error))).collect(),
        };
        timer.observe_duration();
        for ((reply, result), logged) in replies.into_iter().zip(results).zip(&outcomes) {
            let result = result.map(|verdict| self.metrics.folded(verdict, Facts::of(&logged.outcome)));
            drop(reply.send(result));
        }
    }

    fn decode(&self, record: &Record) -> Result<LoggedOutcome> {
        Ok(LoggedOutcome {
            outcome: decode::<Outcome>(&self.schemas, record)?,
            partition: record.position.partition.partition,
            offset: record.position.offset,
        })
    }

    /// Folds as soon as the store is there.
    async fn fold_when_reached(
        &self,
        outcomes: &[LoggedOutcome],
    ) -> std::result::Result<Vec<Verdict>, StoreError> {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            match self.outcomes.fold(outcomes).await {
                Err(StoreError::Unavailable(reason)) => {
                    tracing::debug!(reason, outcomes = outcomes.len(), "folding waits for the store");
                    backoff.wait().await;
                }
                result => return result,
            }
        }
    }

    /// One outcome that the store refuses must not take the others with it.
    async fn one_by_one(&self, outcomes: &[LoggedOutcome]) -> Vec<Result<Verdict>> {
        let mut results = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let folded = self.fold_when_reached(std::slice::from_ref(outcome)).await;
            let folded = folded.map_err(|error| stage_error(&error));
            let missing = || {
                Err(StageError::Fatal(
                    "the store folded one outcome and gave no verdict".to_owned(),
                ))
            };
            results.push(folded.and_then(|folded| folded.first().copied().map_or_else(missing, Ok)));
        }
        results
    }
}

fn size(enqueued: &Enqueued) -> usize {
    enqueued.record.value.as_deref().map_or(0, <[u8]>::len)
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
