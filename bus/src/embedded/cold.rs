//! Reading records that are no longer in memory. A damaged one keeps its place, so that what follows is still read.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use relay_log::{Found, Read};
use relay_schemas::TimestampMs;

use super::partition::PartitionLog;
use super::record;
use super::shared::Shared;
use crate::{BusError, Record, header};

/// Pauses before a disk that refuses to read is asked again; then the record counts as damaged. About as long as a failed sync
/// is tried again: a device that is away for a few seconds has damaged nothing.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
];

/// Reads what lies in `offsets`, from the first on, as much as one call may return; and where to go on. Blocks.
pub(super) fn read(
    shared: &Shared,
    log: &PartitionLog,
    offsets: &Range<i64>,
) -> Result<(Vec<Record>, i64), BusError> {
    let Read { found, next } = find(shared, log, offsets)?;
    let near = found.iter().find_map(|found| match found {
        Found::Record(record) => Some(record.timestamp),
        Found::Damaged(_) => None,
    });
    let mut near = TimestampMs(near.unwrap_or(0));
    let records = found.into_iter().map(|found| {
        let offset = match &found {
            Found::Record(record) => record.offset,
            Found::Damaged(damaged) => damaged.offset,
        };
        let record = record::decode(log.position(offset), near, found);
        near = record.timestamp;
        if let Some(place) = record.headers.text(header::DAMAGED) {
            tracing::warn!(
                messaging.topic = log.name.topic,
                messaging.partition = log.name.partition,
                messaging.offset = offset,
                log.place = place,
                "a record of the log is damaged; what follows it is read on"
            );
        }
        record
    });
    Ok((records.collect(), next))
}

fn find(shared: &Shared, log: &PartitionLog, offsets: &Range<i64>) -> Result<Read, BusError> {
    let mut pauses = PAUSES.iter();
    loop {
        let plan = shared.log.lock().plan_read(
            log.slot,
            offsets.clone(),
            shared.options.fetch_records,
            shared.options.fetch_size.as_usize(),
        );
        match (plan.run(), pauses.next()) {
            (Ok(read), _) if !read.found.is_empty() || read.next > offsets.start => return Ok(read),
            // The segment was cleaned meanwhile.
            (Ok(_), Some(_)) => {}
            (Err(_), Some(pause)) => thread::sleep(*pause),
            (Ok(_), None) => {
                let reason = format!("{} changes faster than it can be read", log.name.topic);
                return Err(BusError::Unavailable(reason));
            }
            (Err(error), None) if shared.health.is_troubled() => {
                let reason = format!("reading {} from the log: {error}", log.name.topic);
                return Err(BusError::Unavailable(reason));
            }
            (Err(_), None) => {
                return plan.give_up().map_err(|error| {
                    BusError::Unavailable(format!("reading {} from the log: {error}", log.name.topic))
                });
            }
        }
    }
}
