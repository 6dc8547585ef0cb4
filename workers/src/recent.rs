//! A bounded set of what was seen lately: the oldest leaves first, by age or for want of room. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use relay_schemas::TimestampMs;

/// Remembers at most `most` keys for `keep_ms` each.
#[derive(Debug)]
pub struct Recent<K> {
    most: usize,
    keep_ms: i64,
    seen: HashMap<K, TimestampMs>,
    order: VecDeque<(K, TimestampMs)>,
}

impl<K: Clone + Eq + Hash> Recent<K> {
    /// An empty set.
    pub fn new(most: usize, keep_ms: i64) -> Self {
        Self {
            most: most.max(1),
            keep_ms,
            seen: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Remembers `key`; anew, if it was known.
    pub fn insert(&mut self, key: K, now: TimestampMs) {
        // A repeated cancel comes every 250 ms: only a key whose time is half over moves to the back.
        if self
            .seen
            .get(&key)
            .is_some_and(|at| now.since_ms(*at) < self.keep_ms / 2)
        {
            return;
        }
        self.seen.insert(key.clone(), now);
        self.order.push_back((key, now));
        self.forget(now);
    }

    /// Whether `key` is remembered.
    pub fn contains(&self, key: &K, now: TimestampMs) -> bool {
        self.seen
            .get(key)
            .is_some_and(|at| now.since_ms(*at) < self.keep_ms)
    }

    fn forget(&mut self, now: TimestampMs) {
        while let Some((key, at)) = self.order.front() {
            let too_old = now.since_ms(*at) >= self.keep_ms;
            if !too_old && self.seen.len() <= self.most {
                return;
            }
            // An older entry of a key that was remembered anew is only a husk.
            if self.seen.get(key) == Some(at) {
                self.seen.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_forgotten_by_age_and_the_oldest_first_for_want_of_room() {
        let at = TimestampMs;
        let mut recent = Recent::new(2, 100);
        recent.insert("a", at(0));
        assert!(recent.contains(&"a", at(99)));
        assert!(!recent.contains(&"a", at(100)));
        recent.insert("b", at(10));
        recent.insert("c", at(20));
        assert!(!recent.contains(&"a", at(21)), "no room for three");
        assert!(recent.contains(&"b", at(21)) && recent.contains(&"c", at(21)));
    }

    #[test]
    fn a_key_seen_again_is_kept_longer_and_a_flood_of_one_key_takes_no_room() {
        let at = TimestampMs;
        let mut recent = Recent::new(2, 100);
        for ms in 0..80 {
            recent.insert("a", at(ms));
        }
        assert!(recent.order.len() <= 2);
        recent.insert("b", at(81));
        assert!(recent.contains(&"a", at(140)));
        assert!(recent.contains(&"b", at(140)));
    }
}
