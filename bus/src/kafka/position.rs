//! Whether a place still lies in its partition's log. Pure.
//!
//! A position below the oldest record is what retention does, and reading goes on there. A position behind the end means that the
//! log is not the one that was read: its topic was deleted and made anew, or a broker lost its end. Everything in it would be
//! read as new, or passed over in silence, so whoever reads it is stopped and says so.

use std::collections::HashMap;
use std::time::Duration;

use crate::{BusError, OffsetRange, Partition, Record};

/// How far each partition was read.
#[derive(Debug, Default)]
pub(super) struct Positions(HashMap<Partition, i64>);

impl Positions {
    /// Reading begins at these places; nothing older than them is handed out.
    pub(super) fn from(places: HashMap<Partition, i64>) -> Self {
        Self(places)
    }

    /// All of them.
    pub(super) fn all(&self) -> &HashMap<Partition, i64> {
        &self.0
    }

    /// The partition is read from its next record on, wherever that lies.
    pub(super) fn forget(&mut self, partition: &Partition) {
        self.0.remove(partition);
    }

    /// Takes in what was read.
    pub(super) fn read(&mut self, records: &[Record]) -> Result<(), BusError> {
        for record in records {
            let (partition, offset) = (&record.position.partition, record.position.offset);
            match self.0.get_mut(partition) {
                Some(next) if offset < *next => return Err(BusError::rewound(partition, *next)),
                Some(next) => *next = offset + 1,
                None => {
                    self.0.insert(partition.clone(), offset + 1);
                }
            }
        }
        Ok(())
    }
}

/// Asks again after `apart` where the answer would stop whoever reads: a broker that was away may for a moment tell of a log that
/// others have gone on with. Blocks.
pub(super) fn twice<T>(apart: Duration, ask: impl Fn() -> Result<T, BusError>) -> Result<T, BusError> {
    match ask() {
        Err(BusError::Fatal(_)) => {
            std::thread::sleep(apart);
            ask()
        }
        answer => answer,
    }
}

/// What a group's commit is worth: the offset below which it never goes again.
pub(super) fn floor(
    group: &str,
    partition: &Partition,
    committed: Option<i64>,
    held: OffsetRange,
) -> Result<i64, BusError> {
    let Some(committed) = committed else { return Ok(0) };
    if committed > held.high {
        return Err(committed_behind(group, partition, committed, held.high));
    }
    if committed < held.low {
        tracing::warn!(
            messaging.group = group,
            messaging.topic = partition.topic.as_str(),
            messaging.partition = partition.partition,
            records = held.low - committed,
            "the topic let records go that this group had not read; it goes on with the oldest that is left"
        );
    }
    Ok(committed)
}

fn committed_behind(group: &str, partition: &Partition, next: i64, high: i64) -> BusError {
    let Partition { topic, partition } = partition;
    BusError::Fatal(format!(
        "{topic}-{partition} ends at offset {high}, but group {group} has committed {next}: the topic was deleted and made anew, or \
         lost its end. Set the group to where it shall go on, while none of its members runs (`kafka-consumer-groups.sh --group \
         {group} --topic {topic} --reset-offsets --execute` with `--to-earliest` if the topic was made anew and nothing of it was read, \
         with `--to-latest` if only its end is lost and the rest was read: `--to-earliest` would do all of that again), then start this \
         process again"
    ))
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;
    use crate::{Headers, Position};

    fn record(offset: i64) -> Record {
        Record {
            position: Position {
                partition: Partition::new("t", 0),
                offset,
            },
            timestamp: TimestampMs(0),
            key: None,
            headers: Headers::default(),
            value: None,
        }
    }

    #[test]
    fn offsets_may_have_gaps_and_never_go_back() {
        let mut positions = Positions::default();
        positions.read(&[record(5), record(9)]).expect("gaps");
        let refused = positions
            .read(&[record(10), record(3)])
            .expect_err("it went back");
        assert!(
            refused.to_string().contains("t-0 was read to offset 11"),
            "{refused}"
        );
        positions.forget(&Partition::new("t", 0));
        positions.read(&[record(3)]).expect("another assignment");
    }

    #[test]
    fn what_would_stop_the_reader_is_asked_twice() {
        let rewound = || Err(BusError::rewound(&Partition::new("t", 0), 9));
        let asked = std::cell::Cell::new(0);
        let ask = |right_from| {
            asked.set(0);
            twice(Duration::ZERO, || {
                asked.set(asked.get() + 1);
                if asked.get() >= right_from {
                    Ok(())
                } else {
                    rewound()
                }
            })
        };
        ask(1).expect("at once");
        assert_eq!(asked.get(), 1);
        ask(2).expect("the second time");
        ask(3).expect_err("it is so");
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_commit_behind_the_end_stops_and_one_before_the_start_goes_on() {
        let (partition, held) = (Partition::new("t", 0), OffsetRange { low: 10, high: 20 });
        for (committed, expected) in [(None, 0), (Some(3), 3), (Some(10), 10), (Some(20), 20)] {
            assert_eq!(
                floor("g", &partition, committed, held).expect("it lies there"),
                expected
            );
        }
        let refused = floor("g", &partition, Some(21), held).expect_err("behind the end");
        assert!(!refused.may_pass());
        let said = refused.to_string();
        assert!(
            said.contains("t-0 ends at offset 20, but group g has committed 21"),
            "{said}"
        );
    }
}
