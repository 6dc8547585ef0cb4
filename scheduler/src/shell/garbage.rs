//! Records that cannot be read become dead letters.

use relay_bus::{Record, stamp};
use relay_runner::poisoned;
use relay_schemas::RequestId;

use super::context::Context;
use super::records::Conclusion;
use crate::core::Input;

/// A record that could not be read, until its dead letter is published.
pub(super) struct Garbage {
    letter: Conclusion,
    request: Option<RequestId>,
}

impl Garbage {
    /// It could not be read, for this `reason`.
    pub(super) fn new(context: &Context, record: &Record, reason: &str, input: &'static str) -> Self {
        Self {
            letter: give_up(context, record, reason, input),
            request: record.headers.request_id(),
        }
    }

    /// Its request is ended by other means.
    pub(super) fn only_buries(&mut self) {
        if let Conclusion::DeadLetter(records) = &mut self.letter {
            records.truncate(1);
        }
    }

    /// What is published: its request ends with it, unless the core `knows` that it goes on or has ended.
    pub(super) fn into_letter(mut self, knows: impl Fn(&RequestId) -> bool) -> Conclusion {
        if self.request.as_ref().is_some_and(knows) {
            self.only_buries();
        }
        self.letter
    }
}

/// The dead letter of a record. With the end of its request if it lay on `ready`: elsewhere the request lives on, or has ended.
pub(super) fn give_up(context: &Context, record: &Record, reason: &str, input: &'static str) -> Conclusion {
    tracing::warn!(
        pool = context.pool,
        messaging.topic = record.position.partition.topic.as_str(),
        messaging.partition = record.position.partition.partition,
        messaging.offset = record.position.offset,
        reason,
        "a record cannot be read and becomes a dead letter"
    );
    let keep = context.config.limits.max_dead_letter.as_usize();
    let mut records = poisoned(
        record,
        reason,
        "relay.scheduler",
        keep,
        &context.identity,
        context.runtime.clock.now(),
    );
    if input != name(Input::Ready) {
        records.truncate(1);
    }
    for record in &mut records {
        if let Some(value) = &record.value {
            stamp(&mut record.headers, value);
        }
    }
    context.metrics.lock().garbage(input);
    Conclusion::DeadLetter(records)
}

/// An input as metrics name it.
pub(super) fn name(input: Input) -> &'static str {
    match input {
        Input::Ready => "ready",
        Input::WorkShort | Input::WorkLong => "work",
        Input::Outcomes => "outcomes",
    }
}
