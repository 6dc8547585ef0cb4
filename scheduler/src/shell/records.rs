//! Records as the scheduler writes them, and the headers that it reads back.

use std::sync::Arc;

use relay_bus::{Headers, Outgoing, Record, header, stamp, topics};
use relay_runner::{Weight, outcome_record};
use relay_schemas::{Lane, Outcome, Payload, RequestId, encode};

use crate::core::{At, Dispatch, HandOver};

/// Names the place of the request's `ready` record in a work record, `partition:offset`.
const READY_AT: &str = "relay-ready-at";
/// Names the epoch of a work record's lease, decimal.
const EPOCH: &str = "relay-scheduler-epoch";

/// What concludes a request or a record that cannot be read.
pub(super) enum Conclusion {
    /// An outcome and its trace context.
    Outcome(Arc<Outcome>, Option<Arc<str>>),
    /// A dead letter, with or without an outcome.
    DeadLetter(Vec<Outgoing>),
}

impl Conclusion {
    /// As they are published.
    pub(super) fn records(&self) -> Vec<Outgoing> {
        match self {
            Self::Outcome(outcome, trace) => {
                vec![outcome_record(
                    outcome,
                    outcome_headers(outcome, trace.as_deref()),
                )]
            }
            Self::DeadLetter(records) => records.clone(),
        }
    }

    /// What it weighs in memory.
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Outcome(outcome, _) => {
                let request = outcome.request.as_ref();
                Weight::of_body(request.map_or(0, |request| request.body.len()))
            }
            Self::DeadLetter(records) => {
                let value = |record: &Outgoing| record.value.as_deref().map_or(0, <[u8]>::len);
                let records = records.iter().map(|record| Weight::of_body(value(record)));
                records.sum::<Weight>().as_letter()
            }
        }
    }

    /// Leaves out what makes an outcome large, once; the headers still say whose it was.
    pub(super) fn shorten(&mut self) -> bool {
        let Self::Outcome(outcome, trace) = self else {
            return false;
        };
        let headers = outcome_headers(outcome, trace.as_deref());
        let short = Arc::make_mut(outcome);
        (short.request, short.planning) = (None, None);
        *self = Self::DeadLetter(vec![outcome_record(outcome, headers)]);
        true
    }
}

/// The record that offers a request to another pool, as the cache service writes them.
pub(super) fn ready_record(handover: &HandOver) -> Outgoing {
    let HandOver { ready, pool, trace } = handover;
    let mut headers = Headers::of(&ready.request);
    set_trace(&mut headers, trace.as_deref());
    let value = encode(ready);
    stamp(&mut headers, &value);
    let key = ready.request.tenant.as_str().to_owned();
    Outgoing::keyed(topics::ready(pool), key, headers, value)
}

/// The work record of a dispatch.
pub(super) fn work_record(dispatch: Dispatch) -> Outgoing {
    let work = Arc::new(dispatch.work);
    let mut headers = Headers::of(&work.request);
    headers.set(header::ATTEMPT, work.lease.attempt.to_string());
    headers.set(EPOCH, work.lease.scheduler_epoch.to_string());
    if let Some(At { partition, offset }) = dispatch.ready_at {
        headers.set(READY_AT, format!("{partition}:{offset}"));
    }
    set_trace(&mut headers, dispatch.trace.as_deref());
    let value = Payload::of(Arc::clone(&work));
    stamp(&mut headers, &value);
    let pool = &work.queueing.pool;
    let topic = match dispatch.lane {
        Lane::Short => topics::work_short(pool),
        Lane::Long => topics::work_long(pool),
    };
    Outgoing {
        topic: topic.into(),
        partition: Some(dispatch.partition),
        key: None,
        headers,
        value: Some(value),
    }
}

/// Whose lease a work record is: request, attempt, epoch.
pub(super) fn lease_of(record: &Record) -> Option<(RequestId, u32, i64)> {
    let headers = &record.headers;
    let attempt = headers.text(header::ATTEMPT)?.parse().ok()?;
    let epoch = headers.text(EPOCH)?.parse().ok()?;
    Some((headers.request_id()?, attempt, epoch))
}

/// Where the `ready` record of a work record lies.
pub(super) fn ready_at(record: &Record) -> Option<At> {
    let (partition, offset) = record.headers.text(READY_AT)?.split_once(':')?;
    Some(At {
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}

fn outcome_headers(outcome: &Outcome, trace: Option<&str>) -> Headers {
    let mut headers = outcome.request.as_deref().map(Headers::of).unwrap_or_default();
    headers.set(header::REQUEST_ID, outcome.request_id.as_str().to_owned());
    headers.set(header::TENANT, outcome.tenant.as_str().to_owned());
    set_trace(&mut headers, trace);
    headers
}

fn set_trace(headers: &mut Headers, trace: Option<&str>) {
    if let Some(trace) = trace {
        headers.set(header::TRACEPARENT, trace.to_owned());
    }
}
