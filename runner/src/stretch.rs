//! A stretch of one partition, read to its end: what lies between two offsets now, not what comes later.

use std::collections::VecDeque;

use relay_bus::{Bus, BusError, Partition, Reader, Record, StartAt};

/// The records of a partition from one offset to another; where offsets have gaps, those that are there.
pub struct Stretch {
    /// Nothing to read: no reader.
    reader: Option<Box<dyn Reader>>,
    fetched: VecDeque<Record>,
    next: i64,
    end: i64,
}

impl Stretch {
    /// Everything that the partition holds now.
    ///
    /// # Errors
    /// What the bus says.
    pub async fn whole(bus: &dyn Bus, partition: Partition) -> Result<Self, BusError> {
        let range = bus.range(&partition).await?;
        Self::between(bus, partition, range.low, range.high).await
    }

    /// What lies from offset `from` on and before offset `end`.
    ///
    /// # Errors
    /// What the bus says.
    pub async fn between(bus: &dyn Bus, partition: Partition, from: i64, end: i64) -> Result<Self, BusError> {
        let reader = if from < end {
            let start = vec![(partition, StartAt::Offset(from))];
            Some(bus.read(start).await?)
        } else {
            None
        };
        Ok(Self {
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
            self.fetched.extend(reader.next().await?);
            if let Some(newest) = self.fetched.back() {
                self.next = newest.position.offset + 1;
            }
        }
        let record = self.fetched.pop_front();
        Ok(record.filter(|record| record.position.offset < self.end))
    }
}
