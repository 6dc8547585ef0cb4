//! The status on the control seam: absolute, at once on a change, and in any case every 100 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use relay_control::{send, subjects};
use relay_schemas::WorkerStatus;

use crate::worker::Worker;

/// Sends statuses until it is dropped.
pub async fn broadcast(worker: Arc<Worker>, every: Duration, least: Duration) {
    let seq = AtomicI64::new(0);
    let subject = subjects::worker_status(&worker.config.pool);
    let mut troubled = false;
    loop {
        let status = current(&worker, seq.fetch_add(1, Ordering::Relaxed));
        let sent = send(&*worker.control, &subject, &status).await;
        if let Err(error) = &sent
            && !troubled
        {
            tracing::warn!(%error, "the status cannot be sent; the next one says everything again");
        }
        troubled = sent.is_err();
        // Changes that come closer together than this travel together.
        tokio::time::sleep(least).await;
        let _ = tokio::time::timeout(every.saturating_sub(least), worker.changed.notified()).await;
    }
}

/// Everything that this worker is now.
fn current(worker: &Worker, seq: i64) -> WorkerStatus {
    let [short_partitions, long_partitions] = worker.partitions.lock().clone();
    WorkerStatus {
        worker: worker.identity.instance.clone(),
        epoch: worker.identity.epoch,
        pool: worker.config.pool.clone(),
        models: worker.runner.catalogue.names(),
        seq,
        short_partitions,
        long_partitions,
        short_slots: worker.config.short_slots,
        long_slots: worker.config.long_slots,
        in_flight: worker.in_flight(),
        returned: worker.given_back.lock().told(worker.clock.now()),
        draining: worker.shutdown.is_draining(),
        sent_at: worker.clock.now(),
    }
}
