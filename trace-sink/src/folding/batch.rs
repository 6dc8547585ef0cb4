//! Many outcomes, one transaction: what arrives within a few milliseconds, or arrived while the one before was folded.

use std::collections::VecDeque;
use std::time::Duration;

use relay_bus::{BusError, Record};
use relay_runner::Tail;

/// How much one transaction takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most records.
    pub records: usize,
    /// Bytes from which on it takes no more.
    pub bytes: usize,
    /// The longest that a started batch waits for more.
    pub wait: Duration,
    /// How often the tables are looked at while nothing is folded.
    pub look_every: Duration,
}

/// Records that were read and are not folded; bounded by what one read brings beside a batch.
#[derive(Default)]
pub(super) struct Unfolded(VecDeque<Record>);

impl Unfolded {
    /// The next batch, if a record comes within `limits.look_every`. Safe to drop while waiting.
    pub(super) async fn next(
        &mut self,
        tail: &mut Tail,
        limits: &Limits,
    ) -> Result<Option<Vec<Record>>, BusError> {
        if self.0.is_empty() {
            match tokio::time::timeout(limits.look_every, tail.next()).await {
                Ok(records) => self.0.extend(records?),
                Err(_) => return Ok(None),
            }
        }
        let mut over = std::pin::pin!(tokio::time::sleep(limits.wait));
        while !self.fills(limits) {
            tokio::select! {
                biased;
                records = tail.next() => self.0.extend(records?),
                () = &mut over => break,
            }
        }
        Ok(Some(self.take(limits)))
    }

    fn fills(&self, limits: &Limits) -> bool {
        self.0.len() >= limits.records.max(1) || self.0.iter().map(size).sum::<usize>() >= limits.bytes
    }

    fn take(&mut self, limits: &Limits) -> Vec<Record> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(record) = self.0.pop_front() {
            bytes += size(&record);
            batch.push(record);
            if batch.len() >= limits.records.max(1) || bytes >= limits.bytes {
                break;
            }
        }
        batch
    }
}

fn size(record: &Record) -> usize {
    record.value.as_deref().map_or(0, <[u8]>::len)
}
