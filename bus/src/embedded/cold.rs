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

/// The first and the longest pause before a disk that refuses to read is asked again. A device that is away for a few seconds
/// has damaged nothing, so that only [`EmbeddedOptions::read_patience`](super::EmbeddedOptions) decides.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Plans made for one read, as segments are cleaned meanwhile.
const MOST_PLANS: u32 = 8;

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
                messaging.topic = log.name.topic.as_str(),
                messaging.partition = log.name.partition,
                messaging.offset = offset,
                log.place = place,
                "a record of the log is damaged; what follows it is read on"
            );
            shared.losses.damaged(&log.name.topic);
        }
        record
    });
    Ok((records.collect(), next))
}

fn find(shared: &Shared, log: &PartitionLog, offsets: &Range<i64>) -> Result<Read, BusError> {
    let (mut plans, mut pause, mut waited) = (0, FIRST_PAUSE, Duration::ZERO);
    loop {
        let plan = shared.log.lock().plan_read(
            log.slot,
            offsets.clone(),
            shared.options.fetch_records,
            shared.options.fetch_size.as_usize(),
        );
        let unavailable = |error: &std::io::Error| {
            BusError::Unavailable(format!("reading {} from the log: {error}", log.name.topic))
        };
        match plan.run() {
            Ok(read) if !read.found.is_empty() || read.next > offsets.start => return Ok(read),
            // The segment was cleaned meanwhile.
            Ok(_) if plans < MOST_PLANS => plans += 1,
            Ok(_) => {
                let reason = format!("{} changes faster than it can be read", log.name.topic);
                return Err(BusError::Unavailable(reason));
            }
            Err(_) if waited < shared.options.read_patience => {
                thread::sleep(pause);
                waited += pause;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            Err(error) if shared.health.is_troubled() => return Err(unavailable(&error)),
            Err(_) => return plan.give_up().map_err(|error| unavailable(&error)),
        }
    }
}
