//! A bounded memory of requests: what ended, what was cancelled, what another pool has. Without time: only room makes it forget.

use relay_runner::Recent;
use relay_schemas::{RequestId, TimestampMs};

/// Nothing is too old: every moment is the same.
const ALWAYS: TimestampMs = TimestampMs(0);

/// Remembers the newest requests with a note each.
#[derive(Debug)]
pub struct RecentRequests<T>(Recent<RequestId, T>);

impl<T> RecentRequests<T> {
    /// Remembers at most so many.
    pub fn new(most: usize) -> Self {
        Self(Recent::new(most))
    }

    /// Remembers `id`; false if it was known already, and then nothing changes.
    pub fn insert(&mut self, id: &RequestId, note: T) -> bool {
        self.0.insert(id.clone(), note, ALWAYS)
    }

    /// What was noted of `id`, if it is remembered.
    pub fn get(&self, id: &RequestId) -> Option<&T> {
        self.0.get(id, ALWAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut memory = RecentRequests::new(2);
        for id in ["a", "b", "a", "c"] {
            memory.insert(&id.into(), ());
        }
        let known = ["a", "b", "c"].map(|id| memory.get(&id.into()).is_some());
        assert_eq!(known, [false, true, true]);
    }
}
