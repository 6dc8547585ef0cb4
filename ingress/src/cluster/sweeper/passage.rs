//! Outcomes of all partitions, read once up to marks.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_bus::{Bus, BusError, Partition, Reader, Record, StartAt, header};
use relay_runner::Stretch;
use relay_schemas::TimestampMs;

/// How far the clocks of those that append may lie apart. Where they lie further, a request that has ended may be ended once
/// more, which changes nothing.
const SKEW: Duration = Duration::from_mins(5);

/// A way through the outcomes.
pub(super) struct Passage {
    /// Nothing to read: no reader.
    reader: Option<Box<dyn Reader>>,
    /// Marks that are not reached yet.
    left: BTreeMap<Partition, i64>,
}

impl Passage {
    /// Where there is nothing to look for.
    pub(super) fn nothing() -> Self {
        Self {
            reader: None,
            left: BTreeMap::new(),
        }
    }

    /// From the offsets `from` up to `marks`; a partition that `from` does not know is read from its beginning.
    pub(super) async fn between(
        bus: &dyn Bus,
        from: &BTreeMap<Partition, i64>,
        marks: &BTreeMap<Partition, i64>,
    ) -> Result<Self, BusError> {
        let mut starts = Vec::new();
        for (partition, mark) in marks {
            let low = bus.range(partition).await?.low;
            let next = from.get(partition).map_or(low, |next| low.max(*next));
            if next < *mark {
                starts.push((partition.clone(), StartAt::Offset(next), *mark));
            }
        }
        Self::open(bus, starts).await
    }

    /// What was appended since an instant, up to `marks`.
    pub(super) async fn since(
        bus: &dyn Bus,
        since: TimestampMs,
        marks: &BTreeMap<Partition, i64>,
    ) -> Result<Self, BusError> {
        let since = since.plus_ms(-i64::try_from(SKEW.as_millis()).unwrap_or(i64::MAX));
        let mut starts = Vec::new();
        for (partition, mark) in marks {
            let at = match last(bus, partition, *mark).await? {
                Last::At(newest) if newest >= since => StartAt::Time(since),
                // Nothing is as new as that: a reader would wait for what comes next.
                Last::At(_) | Last::None => continue,
                Last::Damaged => StartAt::Start,
            };
            starts.push((partition.clone(), at, *mark));
        }
        Self::open(bus, starts).await
    }

    async fn open(bus: &dyn Bus, starts: Vec<(Partition, StartAt, i64)>) -> Result<Self, BusError> {
        let left = starts
            .iter()
            .map(|(partition, _, mark)| (partition.clone(), *mark));
        let left: BTreeMap<Partition, i64> = left.collect();
        let starts: Vec<_> = starts
            .into_iter()
            .map(|(partition, at, _)| (partition, at))
            .collect();
        let reader = if starts.is_empty() {
            None
        } else {
            Some(bus.read(starts).await?)
        };
        Ok(Self { reader, left })
    }

    /// The next outcomes. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        let Some(reader) = &mut self.reader else {
            return Ok(Vec::new());
        };
        let records = reader.next().await?;
        for record in &records {
            let partition = &record.position.partition;
            if self
                .left
                .get(partition)
                .is_some_and(|mark| record.position.offset + 1 >= *mark)
            {
                self.left.remove(partition);
            }
        }
        Ok(records)
    }

    /// Whether all marks are reached.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }
}

/// The last record before a mark.
enum Last {
    /// There is none.
    None,
    /// Appended then.
    At(TimestampMs),
    /// Appended nobody knows when.
    Damaged,
}

async fn last(bus: &dyn Bus, partition: &Partition, mark: i64) -> Result<Last, BusError> {
    if bus.range(partition).await?.low >= mark {
        return Ok(Last::None);
    }
    let mut last = Stretch::between(bus, partition.clone(), mark - 1, mark).await?;
    Ok(match last.next().await? {
        None => Last::None,
        Some(record) if record.headers.get(header::DAMAGED).is_some() => Last::Damaged,
        Some(record) => Last::At(record.timestamp),
    })
}
