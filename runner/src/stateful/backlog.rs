//! What waits to be published: counted when it is queued and when it is acknowledged, so that a bus that takes nothing
//! stops the reading before it fills the memory.

use std::iter::Sum;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Roughly what a record weighs besides its body.
const ENVELOPE: usize = 1_024;

/// What waits, in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    bytes: usize,
    letters: usize,
}

/// See the module.
pub struct Backlog {
    most_bytes: usize,
    bytes: AtomicUsize,
    letters: AtomicUsize,
    shrunk: Notify,
}

impl Weight {
    /// Of a record with a body of so many bytes, roughly.
    pub fn of_body(bytes: usize) -> Self {
        Self {
            bytes: ENVELOPE + bytes,
            letters: 0,
        }
    }

    /// The same as a dead letter: the log that a successor reads does not hold it, so no snapshot may be ahead of it.
    #[must_use]
    pub fn as_letter(self) -> Self {
        Self { letters: 1, ..self }
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
    /// It is full once `most_bytes` wait.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            bytes: AtomicUsize::new(0),
            letters: AtomicUsize::new(0),
            shrunk: Notify::new(),
        }
    }

    /// So much more waits.
    pub fn queued(&self, weight: Weight) {
        self.bytes.fetch_add(weight.bytes, Ordering::SeqCst);
        self.letters.fetch_add(weight.letters, Ordering::SeqCst);
    }

    /// So much is in the log; it must have been queued.
    pub fn published(&self, weight: Weight) {
        self.bytes.fetch_sub(weight.bytes, Ordering::SeqCst);
        self.letters.fetch_sub(weight.letters, Ordering::SeqCst);
        self.shrunk.notify_one();
    }

    /// Bytes that wait, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Whether so much waits that nothing more should be read.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.most_bytes
    }

    /// Returns once something was published. Safe to drop while waiting.
    pub async fn shrinks(&self) {
        self.shrunk.notified().await;
    }

    /// Whether every dead letter is in the log.
    pub fn letters_are_published(&self) -> bool {
        self.letters.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes: usize) -> Weight {
        Weight::of_body(bytes).as_letter()
    }

    #[test]
    fn it_is_full_from_its_bound_on_until_something_is_published() {
        let backlog = Backlog::new(ENVELOPE + 11);
        backlog.queued(letter(10));
        assert!(!backlog.is_full());
        assert!(!backlog.letters_are_published());
        backlog.queued(letter(0));
        assert!(backlog.is_full());
        assert_eq!(backlog.bytes(), 2 * ENVELOPE + 10);
        backlog.published([letter(10), letter(0)].into_iter().sum());
        assert!(!backlog.is_full());
        assert!(backlog.letters_are_published());
    }
}
