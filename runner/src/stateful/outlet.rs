//! Publishes what was decided, in order, many records at once: whatever came while one publish was out goes into the next.
//!
//! An unavailable bus leaves the result unknown, so the same records are published again until they are acknowledged: who reads
//! them must know a record that it has seen.

use relay_bus::{BusError, Outgoing};
use tokio::sync::mpsc;

use super::log::LogClient;

/// Most items in one publish.
const MOST: usize = 512;

/// One kind of what a stateful stage publishes, and what follows once it is in the log.
pub trait Outlet: Send + Sync + 'static {
    /// What is published, with whatever must be known of it afterwards.
    type Item: Send + Sync + 'static;

    /// Is called before a batch is published for the first time.
    fn begin(&self, batch: &mut [Self::Item]) {
        let _ = batch;
    }

    /// The records of one item.
    fn records(&self, item: &Self::Item) -> Vec<Outgoing>;

    /// Whether a refusal stands, however long it is waited for. All else is tried again until it is taken.
    fn is_final(&self, error: &BusError) -> bool {
        matches!(error, BusError::TooLarge { .. })
    }

    /// These are in the log.
    fn published(&self, items: Vec<Self::Item>) -> impl Future<Output = ()> + Send;

    /// The log will never take this one. What is returned is published in its place; it must be less each time.
    fn refused(&self, item: Self::Item, error: BusError) -> impl Future<Output = Option<Self::Item>> + Send;
}

/// Publishes all that comes until its senders are gone.
pub(super) async fn publish<O: Outlet>(
    log: LogClient,
    outlet: O,
    mut items: mpsc::UnboundedReceiver<O::Item>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while items.recv_many(&mut batch, MOST).await > 0 {
        outlet.begin(&mut batch);
        let records = batch.iter().flat_map(|item| outlet.records(item)).collect();
        let batch = std::mem::take(&mut batch);
        match append(&log, &outlet, records).await? {
            Ok(()) => outlet.published(batch).await,
            Err(error) => {
                tracing::debug!(%error, "one of several records is refused; they go one by one");
                for item in batch {
                    publish_alone(&log, &outlet, item).await?;
                }
            }
        }
    }
    Ok(())
}

async fn publish_alone<O: Outlet>(log: &LogClient, outlet: &O, mut item: O::Item) -> Result<(), BusError> {
    while let Err(error) = append(log, outlet, outlet.records(&item)).await? {
        match outlet.refused(item, error).await {
            Some(less) => item = less,
            None => return Ok(()),
        }
    }
    outlet.published(vec![item]).await;
    Ok(())
}

/// Appends until it is known what became of it. The inner error is one that stands.
async fn append<O: Outlet>(
    log: &LogClient,
    outlet: &O,
    records: Vec<Outgoing>,
) -> Result<Result<(), BusError>, BusError> {
    let bus = &log.runtime().bus;
    let publish = || async {
        match bus.publish(records.clone(), Vec::new()).await {
            Ok(_) => Ok(Ok(())),
            Err(error) if outlet.is_final(&error) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    };
    log.ask(publish).await
}
