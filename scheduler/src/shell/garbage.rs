//! Records that cannot be read become dead letters.

use relay_bus::{Record, stamp};
use relay_runner::poisoned;

use super::context::Context;
use super::records::Conclusion;
use crate::core::Input;

/// The dead letter of a record. With the end of its request if it lay on `ready`: elsewhere the request lives on, or has ended.
pub(super) fn give_up(context: &Context, record: &Record, reason: &str, input: &'static str) -> Conclusion {
    tracing::warn!(
        pool = context.pool,
        messaging.topic = record.position.partition.topic,
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
