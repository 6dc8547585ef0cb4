//! Reading records that are no longer in memory. A damaged one keeps its place, so that what follows is still read.

use std::ops::Range;
use std::sync::Arc;
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

/// A read of what lies on disk alone.
pub(super) struct ColdRead {
    shared: Arc<Shared>,
    log: Arc<PartitionLog>,
    offsets: Range<i64>,
    plans: u32,
    pause: Duration,
    waited: Duration,
}

enum Tried {
    Done(Result<(Vec<Record>, i64), BusError>),
    /// The disk refused; it is asked again after a pause.
    Refused(ColdRead, Duration),
}

impl ColdRead {
    /// Of what lies in `offsets`.
    pub(super) fn new(shared: &Arc<Shared>, log: &Arc<PartitionLog>, offsets: Range<i64>) -> Self {
        Self {
            shared: Arc::clone(shared),
            log: Arc::clone(log),
            offsets,
            plans: 0,
            pause: FIRST_PAUSE,
            waited: Duration::ZERO,
        }
    }

    /// Reads from the first offset on, as much as one call may return; and where to go on.
    pub(super) async fn run(mut self) -> Result<(Vec<Record>, i64), BusError> {
        let shared = Arc::clone(&self.shared);
        loop {
            match shared.beside("reading the log", move || self.attempt()).await? {
                Tried::Done(read) => return read,
                Tried::Refused(again, pause) => {
                    tokio::time::sleep(pause).await;
                    self = again;
                }
            }
        }
    }

    /// Blocks.
    fn attempt(mut self) -> Tried {
        let options = &self.shared.options;
        let most = (options.fetch_records, options.fetch_size.as_usize());
        let read = loop {
            let offsets = self.offsets.clone();
            let plan = self
                .shared
                .log
                .lock()
                .plan_read(self.log.slot, offsets, most.0, most.1);
            match plan.run() {
                Ok(read) if !read.found.is_empty() || read.next > self.offsets.start => break Ok(read),
                // The segment was cleaned meanwhile.
                Ok(_) if self.plans < MOST_PLANS => self.plans += 1,
                Ok(_) => {
                    let reason = format!("{} changes faster than it can be read", self.log.name.topic);
                    return Tried::Done(Err(BusError::Unavailable(reason)));
                }
                Err(_) if self.waited < options.read_patience => {
                    let pause = self.pause;
                    self.waited += pause;
                    self.pause = LONGEST_PAUSE.min(pause * 2);
                    return Tried::Refused(self, pause);
                }
                Err(error) if self.shared.health.is_troubled() => break Err(error),
                Err(_) => break plan.give_up(),
            }
        };
        let read = read.map(|read| decoded(&self.shared, &self.log, read));
        Tried::Done(read.map_err(|error| {
            BusError::Unavailable(format!("reading {} from the log: {error}", self.log.name.topic))
        }))
    }
}

/// The records that were found, and where to go on.
fn decoded(shared: &Shared, log: &PartitionLog, read: Read) -> (Vec<Record>, i64) {
    let Read { found, next } = read;
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
    (records.collect(), next)
}
