//! Publishes what was decided, in order, many records at once: whatever came while one publish was out goes into the next.
//!
//! An unavailable bus leaves the result unknown, so the same records are published again until they are acknowledged: workers
//! know an attempt they hold already, and of two outcomes the first wins.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{BusError, Outgoing};
use relay_control::finish;
use relay_runner::crash_point;
use relay_runner::dependency::BUS;
use relay_schemas::{RequestId, Service};
use tokio::sync::mpsc;

use super::backlog::{Backlog, Weight};
use super::context::{Context, Signal};
use super::records::{Conclusion, is_snapshot};
use crate::core::Attempt;

/// Most records in one publish.
const MOST: usize = 512;
/// Longest time that final frames may take; the log tells an ingress that misses one.
const FINALS: Duration = Duration::from_secs(2);

/// Publishes work until it is dropped.
pub(super) async fn publish_work(
    context: Arc<Context>,
    mut work: mpsc::UnboundedReceiver<(Attempt, Outgoing)>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while work.recv_many(&mut batch, MOST).await > 0 {
        crash_point(Service::Scheduler, "before_lease");
        let (attempts, records): (Vec<Attempt>, Vec<Outgoing>) = batch.drain(..).unzip();
        if let Err(error) = publish(&context, &records).await? {
            tracing::debug!(%error, "one of several work records is too large; they go one by one");
            one_by_one(&context, attempts, records).await?;
        } else {
            crash_point(Service::Scheduler, "after_lease");
            context.signal(Signal::Dispatched(attempts)).await;
        }
    }
    Ok(())
}

async fn one_by_one(
    context: &Context,
    attempts: Vec<Attempt>,
    records: Vec<Outgoing>,
) -> Result<(), BusError> {
    for (attempt, record) in attempts.into_iter().zip(records) {
        let signal = match publish(context, &[record]).await? {
            Ok(()) => Signal::Dispatched(vec![attempt]),
            Err(error) => Signal::Undispatchable(attempt, error.to_string()),
        };
        context.signal(signal).await;
    }
    Ok(())
}

/// Publishes requests for other pools until it is dropped.
pub(super) async fn publish_handovers(
    context: Arc<Context>,
    mut handovers: mpsc::UnboundedReceiver<(RequestId, Outgoing)>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while handovers.recv_many(&mut batch, MOST).await > 0 {
        crash_point(Service::Scheduler, "before_hand_over");
        let (ids, records): (Vec<RequestId>, Vec<Outgoing>) = batch.drain(..).unzip();
        if publish_elsewhere(&context, &records).await?.is_ok() {
            crash_point(Service::Scheduler, "after_hand_over");
            context.signal(Signal::HandedOver(ids)).await;
            continue;
        }
        for (id, record) in ids.into_iter().zip(records) {
            let signal = match publish_elsewhere(&context, &[record]).await? {
                Ok(()) => Signal::HandedOver(vec![id]),
                Err(error) => Signal::CannotHandOver(id, error.to_string()),
            };
            context.signal(signal).await;
        }
    }
    Ok(())
}

/// Publishes into another pool's topic. The inner error is what waiting does not mend; a topic that is gone is one, and the
/// hand-overs behind it must not wait for it.
async fn publish_elsewhere(
    context: &Context,
    records: &[Outgoing],
) -> Result<Result<(), BusError>, BusError> {
    let bus = &context.runtime.bus;
    let publish = || async {
        match bus.publish(records.to_vec(), Vec::new()).await {
            Ok(_) => Ok(Ok(())),
            Err(error @ (BusError::TooLarge { .. } | BusError::UnknownTopic(_))) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    };
    context.ask(publish).await
}

/// Publishes outcomes and dead letters until it is dropped; the final frames follow once they are acknowledged.
pub(super) async fn publish_conclusions(
    context: Arc<Context>,
    mut conclusions: mpsc::UnboundedReceiver<Conclusion>,
    backlog: Arc<Backlog>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while conclusions.recv_many(&mut batch, MOST).await > 0 {
        let queued = batch.iter().map(Weight::of).sum();
        for conclusion in &mut batch {
            if let Conclusion::Outcome(outcome, _) = conclusion {
                // It ends when it enters the log, not when it was decided: the bus may have been away in between.
                outcome.ended_at = context.runtime.clock.now().max(outcome.ended_at);
            }
        }
        let records: Vec<Outgoing> = batch.iter().flat_map(Conclusion::records).collect();
        crash_point(Service::Scheduler, "before_outcome");
        if publish(&context, &records).await?.is_err() {
            for conclusion in &mut batch {
                conclude_alone(&context, conclusion).await?;
            }
        }
        backlog.published(queued);
        crash_point(Service::Scheduler, "after_outcome");
        crash_point(Service::Scheduler, "before_final");
        send_finals(&context, batch.drain(..)).await;
        crash_point(Service::Scheduler, "after_final");
    }
    Ok(())
}

async fn send_finals(context: &Arc<Context>, conclusions: impl Iterator<Item = Conclusion>) {
    let outcomes = conclusions.filter_map(|conclusion| match conclusion {
        Conclusion::Outcome(outcome, _) => Some(outcome),
        Conclusion::DeadLetter(_) => None,
    });
    let finals = outcomes.map(|outcome| {
        let context = context.clone();
        async move { finish(&*context.control, &outcome, 0, true).await }
    });
    let all = futures::future::join_all(finals);
    if tokio::time::timeout(FINALS, all).await.is_err() {
        tracing::warn!("final frames took too long and are left out: the log tells");
    }
}

/// One of them is too large: it must end all the same, so it goes without what makes it large, and without a final frame.
async fn conclude_alone(context: &Context, conclusion: &mut Conclusion) -> Result<(), BusError> {
    if publish(context, &conclusion.records()).await?.is_ok() {
        return Ok(());
    }
    conclusion.shorten();
    if let Err(error) = publish(context, &conclusion.records()).await? {
        tracing::error!(%error, "an outcome does not fit into its topic even without its request and is left out");
    }
    Ok(())
}

/// Publishes until it is known to be in the log. The inner error is [`BusError::TooLarge`], which waiting does not mend.
async fn publish(context: &Context, records: &[Outgoing]) -> Result<Result<(), BusError>, BusError> {
    let bus = &context.runtime.bus;
    let published = context.ask(|| bus.publish(records.to_vec(), Vec::new())).await;
    match published {
        Ok(_) => Ok(Ok(())),
        Err(error @ BusError::TooLarge { .. }) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// Appends leadership records, one at a time: a heartbeat that is late is not followed by another.
pub(super) async fn append_leadership(
    context: Arc<Context>,
    mut records: mpsc::Receiver<Outgoing>,
) -> Result<(), BusError> {
    let mut backoff = context.config.retry.backoff();
    while let Some(record) = records.recv().await {
        let snapshot = is_snapshot(&record);
        if snapshot {
            crash_point(Service::Scheduler, "before_snapshot");
        }
        match context.runtime.bus.publish(vec![record], Vec::new()).await {
            Ok(_) => backoff.reset(),
            Err(error @ (BusError::Unavailable(_) | BusError::UnknownTopic(_))) => {
                context.runtime.health.down(BUS, error.to_string());
                backoff.wait().await;
            }
            Err(error @ BusError::TooLarge { .. }) => {
                tracing::error!(pool = context.pool, %error, "a snapshot does not fit into its topic; recovery falls back on an older one");
            }
            Err(error) => return Err(error),
        }
        if snapshot {
            crash_point(Service::Scheduler, "after_snapshot");
        }
    }
    Ok(())
}
