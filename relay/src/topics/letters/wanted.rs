//! Finds the record of a dead letter, if it may be put back.

use relay_bus::topics::OUTCOMES;
use relay_bus::{Bus, BusError, Partition, Record};
use relay_runner::{Stretch, read_outcome};
use relay_schemas::{DeadLetter, Registry, RequestId, TimestampMs};

use super::original::original;
use super::verdict::{Verdict, verdict};

/// The record, or why it stays where it is.
pub async fn wanted(
    bus: &dyn Bus,
    registry: &Registry,
    letter: &DeadLetter,
    now: TimestampMs,
) -> Result<Result<Record, String>, BusError> {
    let record = match original(bus, letter).await? {
        Ok(record) => record,
        Err(why) => return Ok(Err(why)),
    };
    Ok(match verdict(letter, &record, registry, now) {
        Verdict::Resend => Ok(record),
        Verdict::Keep(why) => Err(why),
        Verdict::UnlessEnded(id) => match end_of(bus, registry, &id).await? {
            Some(end) => Err(format!("its request {id} has ended: {end}")),
            None => Ok(record),
        },
    })
}

/// How a request ended, where the log knows it.
async fn end_of(bus: &dyn Bus, registry: &Registry, id: &RequestId) -> Result<Option<String>, BusError> {
    for partition in 0..bus.partitions(OUTCOMES).await? {
        let mut outcomes = Stretch::whole(bus, Partition::new(OUTCOMES, partition)).await?;
        while let Some(record) = outcomes.next().await? {
            if record.headers.request_id().is_some_and(|found| found != *id) {
                continue;
            }
            if let Ok(outcome) = read_outcome(registry, &record)
                && outcome.request_id == *id
            {
                let code = outcome.code.as_ref().map(|code| format!(" ({code})"));
                let code = code.unwrap_or_default();
                return Ok(Some(format!("{}{code}", outcome.status.name())));
            }
        }
    }
    Ok(None)
}
