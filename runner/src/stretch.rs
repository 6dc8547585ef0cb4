//! A stretch of one partition, read to its end: what lies between two offsets now, not what comes later.

use std::collections::VecDeque;
use std::time::Duration;

use relay_bus::{Bus, BusError, Partition, Reader, Record, StartAt};

/// A log that says nothing for so long is asked whether it still holds what is read.
const SILENT: Duration = Duration::from_secs(1);

/// The records of a partition from one offset to another; where offsets have gaps, those that are there.
pub struct Stretch<'a> {
    bus: &'a dyn Bus,
    partition: Partition,
    /// Nothing to read: no reader.
    reader: Option<Box<dyn Reader>>,
    fetched: VecDeque<Record>,
    next: i64,
    end: i64,
}

impl<'a> Stretch<'a> {
    /// Everything that the partition holds now.
    ///
    /// # Errors
    /// What the bus says.
    pub async fn whole(bus: &'a dyn Bus, partition: Partition) -> Result<Self, BusError> {
        let range = bus.range(&partition).await?;
        Self::between(bus, partition, range.low, range.high).await
    }

    /// What lies from offset `from` on and before offset `end`.
    ///
    /// # Errors
    /// What the bus says.
    pub async fn between(
        bus: &'a dyn Bus,
        partition: Partition,
        from: i64,
        end: i64,
    ) -> Result<Self, BusError> {
        let reader = if from < end {
            let start = vec![(partition.clone(), StartAt::Offset(from))];
            Some(bus.read(start).await?)
        } else {
            None
        };
        Ok(Self {
            bus,
            partition,
            reader,
            fetched: VecDeque::new(),
            next: from,
            end,
        })
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// What the bus says.
    pub async fn next(&mut self) -> Result<Option<Record>, BusError> {
        let Some(reader) = &mut self.reader else {
            return Ok(None);
        };
        while self.fetched.is_empty() && self.next < self.end {
            if let Ok(records) = tokio::time::timeout(SILENT, reader.next()).await {
                self.fetched.extend(records?);
            } else {
                // What retention let go meanwhile never comes.
                let held = self.bus.range(&self.partition).await?;
                (self.next, self.end) = (self.next.max(held.low), self.end.min(held.high));
            }
            if let Some(newest) = self.fetched.back() {
                self.next = newest.position.offset + 1;
            }
        }
        let record = self.fetched.pop_front();
        Ok(record.filter(|record| record.position.offset < self.end))
    }
}
