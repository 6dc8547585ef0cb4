//! A bounded memory of keys, each with a note: the oldest leave first, for want of room or by age. Pure.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use relay_schemas::TimestampMs;

/// Remembers the newest `most` keys, and none for longer than it keeps them.
///
/// `order` holds every key once for each time it was taken up, oldest first; an entry whose time is not that of the note is a
/// husk of a key that was renewed since.
#[derive(Debug)]
pub struct Recent<K, T = ()> {
    most: usize,
    keep_ms: i64,
    notes: HashMap<K, (TimestampMs, T)>,
    order: VecDeque<(K, TimestampMs)>,
}

impl<K: Clone + Eq + Hash, T> Recent<K, T> {
    /// Remembers the newest `most` keys, however old.
    pub fn new(most: usize) -> Self {
        Self::for_a_while(most, i64::MAX)
    }

    /// Remembers the newest `most` keys for `keep_ms` each.
    pub fn for_a_while(most: usize, keep_ms: i64) -> Self {
        Self {
            most: most.max(1),
            keep_ms,
            notes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Remembers `key`, unless it is remembered: then nothing changes, and it says false.
    pub fn insert(&mut self, key: K, note: T, now: TimestampMs) -> bool {
        self.insert_at(key, note, now, now)
    }

    /// Remembers `key` as of `at`, and forgets as if it were `now`, which may be earlier.
    pub fn insert_at(&mut self, key: K, note: T, at: TimestampMs, now: TimestampMs) -> bool {
        if self.get(&key, now).is_some() {
            return false;
        }
        self.take_up(key, note, at, now);
        true
    }

    /// Remembers `key` as if it were new. A key whose time is not half over stays where it is, so that a flood of one key
    /// takes no room.
    pub fn renew(&mut self, key: K, note: T, now: TimestampMs) {
        if let Some((at, known)) = self.notes.get_mut(&key)
            && now.since_ms(*at) < self.keep_ms / 2
        {
            *known = note;
            return;
        }
        self.take_up(key, note, now, now);
    }

    /// What was noted of `key`, if it is remembered.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: TimestampMs) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        let (at, note) = self.notes.get(key)?;
        (now.since_ms(*at) < self.keep_ms).then_some(note)
    }

    /// Whether `key` is remembered.
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: TimestampMs) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key, now).is_some()
    }

    /// How many keys are held, those included that are too old and not yet dropped.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    fn take_up(&mut self, key: K, note: T, at: TimestampMs, now: TimestampMs) {
        self.notes.insert(key.clone(), (at, note));
        self.order.push_back((key, at));
        while let Some((key, at)) = self.order.front() {
            let is_husk = self.notes.get(key).is_none_or(|(newest, _)| newest != at);
            let is_old = now.since_ms(*at) >= self.keep_ms;
            if !is_husk {
                if !is_old && self.notes.len() <= self.most {
                    return;
                }
                self.notes.remove(key);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> TimestampMs {
        TimestampMs(ms)
    }

    #[test]
    fn the_oldest_leaves_first_and_a_known_key_changes_nothing() {
        let mut recent = Recent::new(2);
        for (ms, key) in (0..).zip(["a", "b", "a", "c"]) {
            recent.insert(key, ms, at(ms));
        }
        let notes = ["a", "b", "c"].map(|key| recent.get(key, at(9)).copied());
        assert_eq!(notes, [None, Some(1), Some(3)]);
        assert_eq!(recent.len(), 2);
    }

    #[test]
    fn keys_are_forgotten_by_age() {
        let mut recent = Recent::for_a_while(9, 100);
        recent.insert("a", (), at(0));
        assert!(recent.contains("a", at(99)));
        assert!(!recent.contains("a", at(100)));
        assert!(recent.insert("a", (), at(100)), "as if it were new");
        recent.insert("b", (), at(250));
        assert_eq!(recent.len(), 1, "what is too old takes no room");
    }

    #[test]
    fn a_renewed_key_is_kept_longer_and_a_flood_of_it_takes_no_room() {
        let mut recent = Recent::for_a_while(2, 100);
        for ms in 0..80 {
            recent.renew("a", (), at(ms));
        }
        assert!(recent.order.len() <= 2);
        recent.renew("b", (), at(81));
        assert!(recent.contains("a", at(140)) && recent.contains("b", at(140)));
    }
}
