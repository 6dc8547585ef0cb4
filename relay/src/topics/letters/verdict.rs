//! Whether the record of a dead letter may be put back where it lay. Pure.
//!
//! Nothing that has ended may run again. Whoever gave a record up that carried a request, or a batch line that it could name, ended
//! it there and then: to run it now would cost and change nothing, as its end is told. What is left is what nothing was told of,
//! and outcomes: of two of one request every reader takes the first.

use std::sync::Arc;

use relay_bus::topics::{BATCH_REQUESTS, DEAD_LETTERS, OUTCOMES, PLANNED, POLICIES, REQUESTS, SCHEMAS};
use relay_bus::{Record, decode, header, read};
use relay_runner::{ends_request, was_read};
use relay_schemas::{
    BatchRequest, DeadLetter, DecodeError, Outcome, Planned, Ready, Registry, Request, RequestId, TimestampMs,
};

/// What may become of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is put back.
    Resend,
    /// It is put back, unless this request has ended.
    UnlessEnded(RequestId),
    /// It stays where it is, and why.
    Keep(String),
}

/// Decides about `record`, for which `letter` stands.
pub fn verdict(letter: &DeadLetter, record: &Record, registry: &Registry, now: TimestampMs) -> Verdict {
    let topic = letter.source_topic.as_str();
    let keep = |why: &str| Verdict::Keep(why.to_owned());
    let unreadable = |error: &DecodeError| {
        Verdict::Keep(format!(
            "it cannot be read now either, and would be given up again: {error}"
        ))
    };
    if let Some(place) = record.headers.text(header::DAMAGED) {
        return Verdict::Keep(format!("the log damaged it ({place}); what it was is lost"));
    }
    match topic {
        DEAD_LETTERS | POLICIES | SCHEMAS => keep("its topic is not one that a service works through"),
        _ if topic.starts_with("relay.scheduler.") => {
            keep("its topic is not one that a service works through")
        }
        _ if topic.starts_with("relay.work.") => keep(
            "it is a lease, for one worker and one attempt: its scheduler leases the request anew, or has ended it",
        ),
        OUTCOMES => match decode::<Outcome>(registry, record) {
            Ok(_) => Verdict::Resend,
            Err(error) => unreadable(&error),
        },
        BATCH_REQUESTS => match decode::<BatchRequest>(registry, record) {
            Err(error) => unreadable(&error),
            Ok(_) if was_read(letter) || relay_ingress::is_told(record) => keep(
                "its sender has a result that says so, and the first result of a line counts: the line has to come again under another custom_id",
            ),
            Ok(_) => Verdict::Resend,
        },
        _ => match request(topic, registry, record) {
            None => Verdict::Resend,
            Some(read) => of_request(topic, record, read, now),
        },
    }
}

fn of_request(
    topic: &str,
    record: &Record,
    read: Result<Arc<Request>, DecodeError>,
    now: TimestampMs,
) -> Verdict {
    if let Some((id, _)) = ends_request(topic, &record.headers) {
        return Verdict::Keep(format!(
            "its request {id} ended as failed with this letter (or goes on from another record), and whoever asked was told: who asks again, \
             also under its idempotency key, is served"
        ));
    }
    match read {
        Err(error) => Verdict::Keep(format!(
            "it cannot be read now either, and would be given up again: {error}"
        )),
        Ok(request) if request.deadline <= now => Verdict::Keep(format!(
            "the deadline of its request {} has passed",
            request.request_id
        )),
        Ok(request) => Verdict::UnlessEnded(request.request_id.clone()),
    }
}

/// Whether records of `topic` carry requests.
pub fn carries_request(topic: &str) -> bool {
    matches!(topic, REQUESTS | PLANNED) || topic.starts_with("relay.ready.")
}

/// The request that a record of `topic` carries; `None` where none does.
fn request(topic: &str, registry: &Registry, record: &Record) -> Option<Result<Arc<Request>, DecodeError>> {
    match topic {
        REQUESTS => Some(read(registry, record)),
        PLANNED => Some(decode::<Planned>(registry, record).map(|planned| planned.request)),
        _ if topic.starts_with("relay.ready.") => {
            Some(decode::<Ready>(registry, record).map(|ready| ready.request))
        }
        _ => None,
    }
}
