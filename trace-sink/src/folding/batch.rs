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

/// A batch waits so much less while few outcomes come: clients that ask at once how their requests ended are told sooner, and there is
/// nothing to save.
const QUIET: u32 = 5;
/// Outcomes within the shorter wait from which on the longer one saves transactions.
const BUSY: usize = 4;

/// Records that were read and are not folded; bounded by what one read brings beside a batch.
#[derive(Default)]
pub(super) struct Unfolded {
    records: VecDeque<Record>,
    is_busy: bool,
}

impl Unfolded {
    /// The next batch, if a record comes within `limits.look_every`. Safe to drop while waiting.
    pub(super) async fn next(
        &mut self,
        tail: &mut Tail,
        limits: &Limits,
    ) -> Result<Option<Vec<Record>>, BusError> {
        if self.records.is_empty() {
            match tokio::time::timeout(limits.look_every, tail.next()).await {
                Ok(records) => self.records.extend(records?),
                Err(_) => return Ok(None),
            }
        }
        let mut over = std::pin::pin!(tokio::time::sleep(self.wait(limits)));
        while !self.fills(limits) {
            tokio::select! {
                biased;
                records = tail.next() => self.records.extend(records?),
                () = &mut over => break,
            }
        }
        self.is_busy = is_busy(self.is_busy, self.records.len());
        Ok(Some(self.take(limits)))
    }

    fn wait(&self, limits: &Limits) -> Duration {
        if self.is_busy {
            limits.wait
        } else {
            limits.wait / QUIET
        }
    }

    fn fills(&self, limits: &Limits) -> bool {
        let bytes = || self.records.iter().map(size).sum::<usize>();
        self.records.len() >= limits.records.max(1) || bytes() >= limits.bytes
    }

    fn take(&mut self, limits: &Limits) -> Vec<Record> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(record) = self.records.pop_front() {
            bytes += size(&record);
            batch.push(record);
            if batch.len() >= limits.records.max(1) || bytes >= limits.bytes {
                break;
            }
        }
        batch
    }
}

/// Whether the next batch takes the longer wait: by how many came in this one's.
fn is_busy(was_busy: bool, came: usize) -> bool {
    came >= if was_busy { BUSY * QUIET as usize } else { BUSY }
}

fn size(record: &Record) -> usize {
    record.value.as_deref().map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_longer_only_while_outcomes_come_fast_enough_to_share_it() {
        // So many a second, in the shorter wait of 5 ms and in the longer one of 25.
        for (a_second, busy) in [(100, false), (700, false), (900, true), (5_000, true)] {
            let mut is_busy_now = false;
            for _ in 0..3 {
                let wait_ms = if is_busy_now { 25 } else { 5 };
                is_busy_now = is_busy(is_busy_now, a_second * wait_ms / 1_000);
            }
            assert_eq!(is_busy_now, busy, "{a_second}");
        }
        assert!(!is_busy(true, 3), "it ends");
    }
}
