//! What waits to be published: counted when it is queued and when it is acknowledged, so that a bus that takes nothing
//! stops the reading before it fills the memory.

use std::iter::Sum;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::publisher::Ending;

/// Roughly what a record weighs besides its body.
const ENVELOPE: usize = 1_024;

/// What endings weigh in memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weight {
    bytes: usize,
    letters: usize,
}

/// See the module.
pub(crate) struct Backlog {
    most_bytes: usize,
    bytes: AtomicUsize,
    letters: AtomicUsize,
    shrunk: Notify,
}

impl Weight {
    /// Of one ending, roughly.
    pub(crate) fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Outcome(outcome, _) => {
                let request = outcome.request.as_ref();
                Self {
                    bytes: ENVELOPE + request.map_or(0, |request| request.canonical.len()),
                    letters: 0,
                }
            }
            Ending::Garbage(records) => {
                let value = |record: &relay_bus::Outgoing| record.value.as_ref().map_or(0, bytes::Bytes::len);
                Self {
                    bytes: records.iter().map(|record| ENVELOPE + value(record)).sum(),
                    letters: 1,
                }
            }
        }
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes + one.bytes,
            letters: sum.letters + one.letters,
        })
    }
}

impl Backlog {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: AtomicUsize::new(0),
            letters: AtomicUsize::new(0),
            shrunk: Notify::new(),
        }
    }

    /// So much more waits.
    pub(crate) fn queued(&self, weight: Weight) {
        self.bytes.fetch_add(weight.bytes, Ordering::SeqCst);
        self.letters.fetch_add(weight.letters, Ordering::SeqCst);
    }

    /// So much is in the log; it must have been queued.
    pub(crate) fn published(&self, weight: Weight) {
        self.bytes.fetch_sub(weight.bytes, Ordering::SeqCst);
        self.letters.fetch_sub(weight.letters, Ordering::SeqCst);
        self.shrunk.notify_one();
    }

    /// Bytes that wait, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Whether so much waits that nothing more should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.most_bytes
    }

    /// Returns once something was published. Safe to drop while waiting.
    pub(crate) async fn shrinks(&self) {
        self.shrunk.notified().await;
    }

    /// Whether every dead letter is in the log.
    pub(crate) fn letters_are_published(&self) -> bool {
        self.letters.load(Ordering::SeqCst) == 0
    }
}
