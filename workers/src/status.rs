//! The status on the control seam: absolute, at once on a change, and in any case every 100 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use relay_control::{send, subjects};
use relay_schemas::{ModelState, WorkerStatus};
use tokio::sync::Notify;

use crate::capacity::Lanes;
use crate::worker::Worker;

/// Sends statuses until it is dropped.
pub async fn broadcast(worker: Arc<Worker>, every: Duration, least: Duration) {
    let seq = AtomicI64::new(0);
    let subject = subjects::worker_status(&worker.config.pool);
    let mut troubled = false;
    loop {
        let status = current(&worker, seq.fetch_add(1, Ordering::Relaxed));
        let sent = send(&*worker.control, &subject, status).await;
        if let Err(error) = &sent
            && !troubled
        {
            tracing::warn!(%error, "the status cannot be sent; the next one says everything again");
        }
        troubled = sent.is_err();
        due(&worker.changed, every, least).await;
    }
}

/// Waits until another status is due. Changes that come closer together than `least` travel together; where nothing changes this
/// wakes but once.
async fn due(changed: &Notify, every: Duration, least: Duration) {
    let spaced = tokio::time::sleep(least);
    let _ = tokio::time::timeout(every, changed.notified()).await;
    spaced.await;
    // What changed meanwhile is in the status that comes now.
    tokio::select! {
        biased;
        () = changed.notified() => {}
        () = std::future::ready(()) => {}
    }
}

/// Everything that this worker is now.
fn current(worker: &Worker, seq: i64) -> WorkerStatus {
    let [short_partitions, long_partitions] = worker.partitions.lock().clone();
    let capacity = worker.runner.catalogue.status(worker.lanes());
    worker.runner.metrics.models(&capacity);
    let ready = || capacity.iter().filter(|it| it.state == ModelState::Ready);
    let Lanes { short, long } = worker.lanes().within(ready().map(|it| it.slots));
    WorkerStatus {
        worker: worker.identity.instance.clone(),
        epoch: worker.identity.epoch,
        pool: worker.config.pool.clone(),
        models: ready().map(|it| it.model.clone()).collect(),
        seq,
        short_partitions,
        long_partitions,
        short_slots: short,
        long_slots: long,
        capacity,
        in_flight: worker.in_flight(),
        returned: worker.given_back.lock().told(worker.clock.steady()),
        draining: worker.shutdown.is_lame_duck(),
        sent_at: worker.clock.now(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::time::{Instant, sleep};

    use super::*;

    const EVERY: Duration = Duration::from_millis(100);
    const LEAST: Duration = Duration::from_millis(5);

    #[tokio::test(start_paused = true)]
    async fn a_worker_at_rest_is_woken_once_a_status() {
        let changed = Notify::new();
        let began = Instant::now();
        let mut polls = 0;
        let mut due = pin!(due(&changed, EVERY, LEAST));
        poll_fn(|context| {
            polls += 1;
            due.as_mut().poll(context)
        })
        .await;
        assert_eq!((began.elapsed(), polls), (EVERY, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_at_once_and_changes_close_together_travel_together() {
        let changed = Notify::new();
        let at = |ms| Duration::from_millis(ms);
        let changing = async {
            for pause in [30, 1, 2] {
                sleep(at(pause)).await;
                changed.notify_one();
            }
        };
        let telling = async {
            let began = Instant::now();
            let mut told = Vec::new();
            for _ in 0..3 {
                due(&changed, EVERY, LEAST).await;
                told.push(began.elapsed());
            }
            told
        };
        let ((), told) = tokio::join!(changing, telling);
        assert_eq!(told, [at(30), at(35), at(135)]);
    }
}
