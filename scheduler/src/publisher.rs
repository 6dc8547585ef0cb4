//! Publishes what was decided, in order, many records at once: whatever came while one publish was out goes into the next.
//!
//! An unavailable bus leaves the result unknown, so the same records are published again until they are acknowledged: workers
//! know an attempt they hold already, and of two outcomes the first wins.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{BusError, Headers, Outgoing, header, stamp, topics};
use relay_control::finish;
use relay_runner::crash_point;
use relay_schemas::{Outcome, Service, TimestampMs, encode};
use tokio::sync::mpsc;

use crate::backlog::{Backlog, Weight};
use crate::core::{At, Attempt, Dispatch};
use crate::feed::{BUS, Wait, insist};
use crate::pool::{Event, Shared};

/// Names the place of the request's `ready` record in a work record, `partition:offset`.
pub(crate) const READY_AT: &str = "relay-ready-at";
/// Names the epoch of a work record's lease, decimal.
pub(crate) const EPOCH: &str = "relay-scheduler-epoch";
/// Most records in one publish.
const MOST: usize = 512;
/// Longest time that final frames may take; the log tells an ingress that misses one.
const FINALS: Duration = Duration::from_secs(2);

/// Something that ends in the log.
pub(crate) enum Ending {
    /// An outcome and its trace context.
    Outcome(Box<Outcome>, Option<Arc<str>>),
    /// A dead letter, with or without an outcome.
    Garbage(Vec<Outgoing>),
}

/// The work record of a dispatch.
pub(crate) fn work_record(dispatch: &Dispatch) -> Outgoing {
    let work = &dispatch.work;
    let mut headers = Headers::of(&work.request);
    headers.set(header::ATTEMPT, work.lease.attempt.to_string());
    headers.set(EPOCH, work.lease.scheduler_epoch.to_string());
    if let Some(At { partition, offset }) = dispatch.ready_at {
        headers.set(READY_AT, format!("{partition}:{offset}"));
    }
    set_trace(&mut headers, dispatch.trace.as_deref());
    let value = encode(work);
    stamp(&mut headers, &value);
    let topic = match dispatch.lane {
        relay_schemas::Lane::Short => topics::work_short(&work.queueing.pool),
        relay_schemas::Lane::Long => topics::work_long(&work.queueing.pool),
    };
    Outgoing {
        topic,
        partition: Some(dispatch.partition),
        key: None,
        headers,
        value: Some(value),
    }
}

fn outcome_headers(outcome: &Outcome, trace: Option<&str>) -> Headers {
    let mut headers = outcome.request.as_ref().map(Headers::of).unwrap_or_default();
    headers.set(header::REQUEST_ID, outcome.request_id.as_str().to_owned());
    headers.set(header::TENANT, outcome.tenant.as_str().to_owned());
    set_trace(&mut headers, trace);
    headers
}

fn outcome_record(outcome: &Outcome, mut headers: Headers) -> Outgoing {
    let value = encode(outcome);
    stamp(&mut headers, &value);
    Outgoing::keyed(
        topics::OUTCOMES,
        outcome.request_id.as_str().to_owned(),
        headers,
        value,
    )
}

fn set_trace(headers: &mut Headers, trace: Option<&str>) {
    if let Some(trace) = trace {
        headers.set(header::TRACEPARENT, trace.to_owned());
    }
}

/// Publishes work until it is dropped.
pub(crate) async fn publish_work(
    shared: Arc<Shared>,
    mut work: mpsc::UnboundedReceiver<(Attempt, Outgoing)>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while work.recv_many(&mut batch, MOST).await > 0 {
        crash_point(Service::Scheduler, "before_lease");
        let (attempts, records): (Vec<Attempt>, Vec<Outgoing>) = batch.drain(..).unzip();
        if let Err(error) = publish(&shared, &records).await? {
            tracing::debug!(%error, "one of several work records is too large; they go one by one");
            one_by_one(&shared, attempts, records).await?;
        } else {
            crash_point(Service::Scheduler, "after_lease");
            shared.tell(Event::Dispatched(attempts)).await;
        }
    }
    Ok(())
}

async fn one_by_one(shared: &Shared, attempts: Vec<Attempt>, records: Vec<Outgoing>) -> Result<(), BusError> {
    for (attempt, record) in attempts.into_iter().zip(records) {
        let event = match publish(shared, &[record]).await? {
            Ok(()) => Event::Dispatched(vec![attempt]),
            Err(error) => Event::Undispatchable(attempt, error.to_string()),
        };
        shared.tell(event).await;
    }
    Ok(())
}

/// Publishes outcomes and dead letters until it is dropped; the final frames follow once they are acknowledged.
pub(crate) async fn publish_endings(
    shared: Arc<Shared>,
    mut endings: mpsc::UnboundedReceiver<Ending>,
    backlog: Arc<Backlog>,
) -> Result<(), BusError> {
    let mut batch = Vec::new();
    while endings.recv_many(&mut batch, MOST).await > 0 {
        let queued = batch.iter().map(Weight::of).sum();
        for ending in &mut batch {
            if let Ending::Outcome(outcome, _) = ending {
                // It ends when it enters the log, not when it was decided: the bus may have been away in between.
                outcome.ended_at = TimestampMs::now().max(outcome.ended_at);
            }
        }
        let records: Vec<Outgoing> = batch.iter().flat_map(records_of).collect();
        crash_point(Service::Scheduler, "before_outcome");
        if publish(&shared, &records).await?.is_err() {
            for ending in &mut batch {
                end_alone(&shared, ending).await?;
            }
        }
        backlog.published(queued);
        crash_point(Service::Scheduler, "after_outcome");
        crash_point(Service::Scheduler, "before_final");
        let finals = batch.drain(..).filter_map(|ending| match ending {
            Ending::Outcome(outcome, _) => Some(outcome),
            Ending::Garbage(_) => None,
        });
        let finals = finals.map(|outcome| {
            let shared = shared.clone();
            async move { finish(&*shared.control, &outcome, 0, true).await }
        });
        if tokio::time::timeout(FINALS, futures::future::join_all(finals))
            .await
            .is_err()
        {
            tracing::warn!("final frames took too long and are left out: the log tells");
        }
        crash_point(Service::Scheduler, "after_final");
    }
    Ok(())
}

/// One of them is too large: it must end all the same, so it goes without what makes it large, and without a final frame.
async fn end_alone(shared: &Shared, ending: &mut Ending) -> Result<(), BusError> {
    if publish(shared, &records_of(ending)).await?.is_ok() {
        return Ok(());
    }
    if let Ending::Outcome(outcome, trace) = ending {
        // The headers still say whose it was.
        let headers = outcome_headers(outcome, trace.as_deref());
        (outcome.request, outcome.planning) = (None, None);
        *ending = Ending::Garbage(vec![outcome_record(outcome, headers)]);
    }
    if let Err(error) = publish(shared, &records_of(ending)).await? {
        tracing::error!(%error, "an ending does not fit into its topic even without its request and is left out");
    }
    Ok(())
}

fn records_of(ending: &Ending) -> Vec<Outgoing> {
    match ending {
        Ending::Outcome(outcome, trace) => {
            let headers = outcome_headers(outcome, trace.as_deref());
            vec![outcome_record(outcome, headers)]
        }
        Ending::Garbage(records) => records.clone(),
    }
}

/// Publishes until it is known to be in the log. The inner error is [`BusError::TooLarge`], which waiting does not mend.
async fn publish(shared: &Shared, records: &[Outgoing]) -> Result<Result<(), BusError>, BusError> {
    let bus = &shared.runtime.bus;
    let published = insist(&shared.runtime.health, &shared.config, || {
        bus.publish(records.to_vec(), Vec::new())
    })
    .await;
    match published {
        Ok(_) => Ok(Ok(())),
        Err(error @ BusError::TooLarge { .. }) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// Appends leadership records, one at a time: a heartbeat that is late is not followed by another.
pub(crate) async fn scribe(shared: Arc<Shared>, mut lines: mpsc::Receiver<Outgoing>) -> Result<(), BusError> {
    let mut wait = Wait::new(&shared.config);
    while let Some(line) = lines.recv().await {
        let snapshot = line.key.as_deref() == Some(&b"snapshot"[..]);
        if snapshot {
            crash_point(Service::Scheduler, "before_snapshot");
        }
        match shared.runtime.bus.publish(vec![line], Vec::new()).await {
            Ok(_) => wait.reset(),
            Err(error @ (BusError::Unavailable(_) | BusError::UnknownTopic(_))) => {
                shared.runtime.health.down(BUS, error.to_string());
                wait.once().await;
            }
            Err(error @ BusError::TooLarge { .. }) => {
                tracing::error!(pool = shared.pool, %error, "a snapshot does not fit into its topic; recovery falls back on an older one");
            }
            Err(error) => return Err(error),
        }
        if snapshot {
            crash_point(Service::Scheduler, "after_snapshot");
        }
    }
    Ok(())
}
