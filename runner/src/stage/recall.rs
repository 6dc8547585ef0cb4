//! Reads records again that were put off.
//!
//! By one reader at a time, for all partitions: on Kafka each is a client of its own, with connections and memory of its own. It reads
//! on over what lies between two of them for as long as that costs less than another reader would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, BusError, Partition, Position, Reader, Record, StartAt};

use super::contract::Stage;
use super::options::StageOptions;
use crate::backoff::backoff;
use crate::chance::Chance;

/// What a reader may bring that nobody wants, since the last that somebody did. As much comes in about the time in which a broker
/// has answered another client.
const MOST_PASSED: usize = 4 << 20;
/// A log that says nothing for so long is asked whether it still holds what is wanted.
const SILENT: Duration = Duration::from_secs(1);

/// What was put off and is to be decided now.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// The records.
    pub(super) records: Vec<Record>,
    /// What the log does not hold any more.
    pub(super) gone: Vec<Position>,
}

/// Waits until the stage recalls some, and reads them, for as long as that takes.
pub(super) async fn recall<S: Stage>(
    stage: Arc<S>,
    bus: Arc<dyn Bus>,
    options: Arc<StageOptions>,
    chance: Chance,
) -> Result<Recalled, BusError> {
    let mut wanted = Wanted::from(stage.recall().await);
    let mut failures = 0;
    loop {
        match read(&*bus, &mut wanted).await {
            Ok(()) => return Ok(wanted.found),
            Err(error) if error.may_pass() => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(messaging.group = options.group, %error, "records that were put off wait for the bus");
                }
                let wait = backoff(options.retry_base, options.retry_max, failures, chance.draw());
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn read(bus: &dyn Bus, wanted: &mut Wanted) -> Result<(), BusError> {
    while !wanted.is_empty() {
        let mut reader = bus.read(wanted.starts()).await?;
        while !wanted.is_empty() && wanted.passed <= MOST_PASSED {
            read_on(bus, &mut *reader, wanted).await?;
        }
    }
    Ok(())
}

async fn read_on(bus: &dyn Bus, reader: &mut dyn Reader, wanted: &mut Wanted) -> Result<(), BusError> {
    if let Ok(records) = tokio::time::timeout(SILENT, reader.next()).await {
        for record in records? {
            wanted.take(record);
        }
        return Ok(());
    }
    // What retention let go meanwhile never comes. That a log ends before what is wanted is no reason: a broker that was away may say
    // so for a moment, and where it is so, whoever reads the partition on is stopped by it.
    for partition in wanted.partitions() {
        let held = bus.range(&partition).await?;
        wanted.gone_until(&partition, held.low);
    }
    Ok(())
}

/// What is wanted, and what was found of it. Pure.
#[derive(Debug, Default)]
struct Wanted {
    /// Of each partition, ascending; none is empty.
    left: BTreeMap<Partition, VecDeque<i64>>,
    found: Recalled,
    /// Bytes that came and are not wanted, since the last that were, or the reader was opened.
    passed: usize,
}

impl From<Vec<Position>> for Wanted {
    fn from(mut positions: Vec<Position>) -> Self {
        positions.sort_by(|one, other| (&one.partition, one.offset).cmp(&(&other.partition, other.offset)));
        positions.dedup();
        let mut wanted = Self::default();
        for Position { partition, offset } in positions {
            wanted.left.entry(partition).or_default().push_back(offset);
        }
        wanted
    }
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    fn partitions(&self) -> Vec<Partition> {
        self.left.keys().cloned().collect()
    }

    /// Where another reader begins.
    fn starts(&mut self) -> Vec<(Partition, StartAt)> {
        self.passed = 0;
        let first = |(partition, offsets): (&Partition, &VecDeque<i64>)| {
            Some((partition.clone(), StartAt::Offset(*offsets.front()?)))
        };
        self.left.iter().filter_map(first).collect()
    }

    /// `record` came, and nothing that lies before it in its partition comes any more.
    fn take(&mut self, record: Record) {
        let Position { partition, offset } = record.position.clone();
        self.gone_until(&partition, offset);
        let Some(offsets) = self.left.get_mut(&partition) else {
            self.passed += size(&record);
            return;
        };
        if offsets.pop_front_if(|wanted| *wanted == offset).is_some() {
            self.found.records.push(record);
            self.passed = 0;
        } else {
            self.passed += size(&record);
        }
        self.tidy(&partition);
    }

    /// `partition` holds nothing any more before `low`.
    fn gone_until(&mut self, partition: &Partition, low: i64) {
        if let Some(offsets) = self.left.get_mut(partition) {
            let lost = offsets.partition_point(|wanted| *wanted < low);
            let lost = offsets.drain(..lost).map(|offset| Position {
                partition: partition.clone(),
                offset,
            });
            self.found.gone.extend(lost);
        }
        self.tidy(partition);
    }

    fn tidy(&mut self, partition: &Partition) {
        if self.left.get(partition).is_some_and(VecDeque::is_empty) {
            self.left.remove(partition);
        }
    }
}

fn size(record: &Record) -> usize {
    // What comes without a value takes room all the same.
    64 + record.value.as_deref().map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use relay_bus::Headers;
    use relay_schemas::TimestampMs;

    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position {
            partition: Partition::new("t", partition),
            offset,
        }
    }

    fn record(partition: i32, offset: i64, bytes: usize) -> Record {
        Record {
            position: at(partition, offset),
            timestamp: TimestampMs(0),
            key: None,
            headers: Headers::default(),
            value: Some(vec![0; bytes].into()),
        }
    }

    fn found(wanted: &Wanted) -> Vec<Position> {
        let records = wanted.found.records.iter();
        records.map(|record| record.position.clone()).collect()
    }

    #[test]
    fn one_reader_begins_at_the_first_of_each_partition_and_passes_over_little() {
        let mut wanted = Wanted::from(vec![at(1, 9), at(0, 5), at(0, 900), at(1, 9)]);
        let starts = wanted.starts();
        assert_eq!(
            starts,
            [
                (Partition::new("t", 0), StartAt::Offset(5)),
                (Partition::new("t", 1), StartAt::Offset(9))
            ]
        );
        for (partition, offset) in [(0, 5), (1, 9), (1, 10)] {
            wanted.take(record(partition, offset, 10));
        }
        assert_eq!(found(&wanted), [at(0, 5), at(1, 9)]);
        assert!(wanted.passed < MOST_PASSED);
        // 64 lines that lay 256 large ones apart were 16 GiB to read.
        for offset in 6..10 {
            wanted.take(record(0, offset, 1 << 20));
        }
        assert!(wanted.passed > MOST_PASSED, "another reader costs less");
        assert_eq!(wanted.starts(), [(Partition::new("t", 0), StartAt::Offset(900))]);
        assert_eq!(wanted.passed, 0);
        wanted.take(record(0, 900, 1));
        assert!(wanted.is_empty() && wanted.found.gone.is_empty());
    }

    #[test]
    fn what_the_log_does_not_hold_any_more_is_told_whether_something_behind_it_comes_or_nothing_does() {
        let mut wanted = Wanted::from(vec![at(0, 1), at(0, 3), at(0, 4), at(1, 2), at(1, 8)]);
        wanted.take(record(0, 3, 1));
        assert_eq!(
            (found(&wanted), wanted.found.gone.clone()),
            (vec![at(0, 3)], vec![at(0, 1)])
        );
        wanted.gone_until(&Partition::new("t", 1), 5);
        wanted.gone_until(&Partition::new("t", 0), 3);
        assert_eq!(wanted.found.gone, [at(0, 1), at(1, 2)]);
        wanted.gone_until(&Partition::new("t", 1), 9);
        assert_eq!(wanted.partitions(), [Partition::new("t", 0)]);
        wanted.gone_until(&Partition::new("t", 0), 9);
        assert!(wanted.is_empty());
    }
}
