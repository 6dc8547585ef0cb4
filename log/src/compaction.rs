//! What compaction knows of the keys of a slot: which record of each is the newest, and how much in which segment is superseded.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;

use crate::Seq;
use crate::sync_end::Lost;

/// A record that supersedes others of its key once it is on disk and old enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recent {
    pub key: Option<Bytes>,
    pub offset: i64,
    pub size: u32,
    pub timestamp: i64,
    pub seq: Seq,
    pub tombstone: bool,
}

/// The newest settled record of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    pub offset: i64,
    pub tombstone: bool,
    size: u32,
    /// Older ones that are still in some segment.
    older: u32,
    /// It was let go itself, and older ones are left: they count against the next one.
    gone: bool,
}

impl Newest {
    /// Whether it removes a key of which nothing else is left.
    pub(crate) fn is_done(&self) -> bool {
        self.tombstone && self.older == 0 && !self.gone
    }
}

/// What may go in a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dead {
    pub records: u32,
    pub bytes: u64,
}

/// Records settled at once: it happens under the lock that appending needs as well.
const SETTLED_AT_ONCE: usize = 20_000;

/// The keys of a compacted slot.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// Records below this offset were there before; they are learned from disk.
    pub from: i64,
    /// Numbers up to which those records reach.
    pub from_seq: Seq,
    /// Whether they were.
    pub learned: bool,
    /// Some of them could not be: of a tombstone nobody can say that nothing older is left.
    pub unknown: bool,
    recent: VecDeque<Recent>,
    /// When the oldest of `recent` was first seen to bear a time that is yet to come.
    early: Option<i64>,
    newest: HashMap<Bytes, Newest>,
    dead: BTreeMap<u64, Dead>,
}

impl Compacted {
    pub(crate) fn new(from: i64, from_seq: Seq) -> Self {
        Self {
            from,
            from_seq,
            learned: false,
            unknown: false,
            recent: VecDeque::new(),
            early: None,
            newest: HashMap::new(),
            dead: BTreeMap::new(),
        }
    }

    pub(crate) fn appended(&mut self, recent: Recent) {
        self.recent.push_back(recent);
    }

    /// Takes what was on disk before, in the order of offsets.
    pub(crate) fn learn(&mut self, before: Vec<Recent>, unknown: bool) {
        self.unknown = unknown;
        let later = std::mem::replace(&mut self.recent, before.into());
        self.recent.extend(later);
        self.learned = true;
    }

    /// These are not there.
    pub(crate) fn forget(&mut self, lost: &[Lost]) {
        self.recent.retain(|recent| {
            !lost
                .iter()
                .any(|lost| (lost.first..=lost.last).contains(&recent.seq))
        });
    }

    /// Records appended `lag_ms` ago, with numbers that are `proven`, supersede older ones, a number of them at a time: one that
    /// nothing proves may yet be cut off. `segment_of` says where an offset is.
    pub(crate) fn settle(&mut self, now_ms: i64, lag_ms: i64, proven: Seq, segment_of: impl Fn(i64) -> u64) {
        let until_ms = now_ms.saturating_sub(lag_ms);
        for _ in 0..SETTLED_AT_ONCE {
            let Some((seq, appended_ms)) = self.oldest(now_ms) else {
                return;
            };
            if seq >= proven || appended_ms > until_ms {
                return;
            }
            let Some(recent) = self.recent.pop_front() else {
                return;
            };
            let Some(key) = recent.key else { continue };
            let mut newest = Newest {
                offset: recent.offset,
                tombstone: recent.tombstone,
                size: recent.size,
                older: 0,
                gone: false,
            };
            if let Some(before) = self.newest.get(&key) {
                newest.older = before.older + u32::from(!before.gone);
                // One that was done counts already.
                if !before.is_done() && !before.gone {
                    bury(&mut self.dead, segment_of(before.offset), before.size);
                }
            }
            if newest.is_done() {
                bury(&mut self.dead, segment_of(newest.offset), newest.size);
            }
            self.newest.insert(key, newest);
        }
    }

    /// Number and age of the oldest that is not settled. A clock that was ahead stamps records with times to come, which
    /// must not hold up all that follow: such a record counts as appended when that is first seen.
    fn oldest(&mut self, now_ms: i64) -> Option<(Seq, i64)> {
        let recent = self.recent.front()?;
        let appended_ms = if recent.timestamp > now_ms {
            *self.early.get_or_insert(now_ms)
        } else {
            self.early = None;
            recent.timestamp
        };
        Some((recent.seq, appended_ms))
    }

    /// What may go in a segment.
    pub(crate) fn dead(&self, segment: u64) -> Dead {
        self.dead.get(&segment).copied().unwrap_or_default()
    }

    /// The newest of each key.
    pub(crate) fn newest(&self) -> &HashMap<Bytes, Newest> {
        &self.newest
    }

    /// A segment was cleaned, and these records of it are gone for good.
    pub(crate) fn cleaned(&mut self, segment: u64, gone: &[(Bytes, i64)], segment_of: impl Fn(i64) -> u64) {
        self.dead.remove(&segment);
        for (key, offset) in gone {
            let Some(newest) = self.newest.get_mut(key) else {
                continue;
            };
            if newest.offset == *offset {
                newest.gone = true;
            } else {
                newest.older = newest.older.saturating_sub(1);
            }
            if newest.gone && newest.older == 0 {
                self.newest.remove(key);
            } else if newest.is_done() {
                bury(&mut self.dead, segment_of(newest.offset), newest.size);
            }
        }
    }
}

fn bury(dead: &mut BTreeMap<u64, Dead>, segment: u64, size: u32) {
    let dead = dead.entry(segment).or_default();
    dead.records += 1;
    dead.bytes += u64::from(size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(key: &'static str, offset: i64, timestamp: i64, tombstone: bool) -> Recent {
        Recent {
            key: Some(Bytes::from_static(key.as_bytes())),
            offset,
            size: 100,
            timestamp,
            seq: offset as Seq,
            tombstone,
        }
    }

    fn dead(records: u32) -> Dead {
        Dead {
            records,
            bytes: 100 * u64::from(records),
        }
    }

    #[test]
    fn a_record_is_superseded_once_its_successor_is_on_disk_and_old_enough() {
        let mut slot = Compacted::new(0, 0);
        for offset in 0..3 {
            slot.appended(recent("a", offset, offset * 10, false));
        }
        slot.settle(19, 10, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(0), "the second is too young");
        slot.settle(20, 10, 1, |_| 1);
        assert_eq!(slot.dead(1), dead(0), "the second is not on disk");
        slot.settle(20, 10, 2, |_| 1);
        assert_eq!(slot.dead(1), dead(1));
        slot.settle(1000, 0, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(2));
    }

    #[test]
    fn records_from_the_future_settle_once_the_clock_is_right_and_the_lag_is_over() {
        let mut slot = Compacted::new(0, 0);
        slot.appended(recent("a", 0, 1_000_000, false));
        slot.appended(recent("a", 1, 1_000_000, false));
        slot.appended(recent("a", 2, 60, false));
        slot.settle(50, 10, 100, |_| 1);
        slot.settle(59, 10, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(0), "they may be as young as they were seen");
        slot.settle(60, 10, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(1), "the last one is young itself");
        slot.settle(70, 10, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(2));
    }

    #[test]
    fn a_tombstone_may_go_only_after_everything_older_of_its_key_is_gone() {
        let mut slot = Compacted::new(0, 0);
        slot.appended(recent("a", 0, 0, false));
        slot.appended(recent("a", 1, 0, true));
        slot.settle(0, 0, 100, |offset| offset as u64);
        assert_eq!((slot.dead(0), slot.dead(1)), (dead(1), dead(0)));
        let key = Bytes::from_static(b"a");
        slot.cleaned(0, &[(key.clone(), 0)], |offset| offset as u64);
        assert_eq!((slot.dead(0), slot.dead(1)), (dead(0), dead(1)));
        slot.cleaned(1, &[(key, 1)], |offset| offset as u64);
        assert!(slot.newest().is_empty());
    }

    #[test]
    fn a_tombstone_waits_for_older_ones_also_where_the_one_between_was_let_go_first() {
        let mut slot = Compacted::new(0, 0);
        slot.appended(recent("a", 0, 0, false));
        slot.appended(recent("a", 1, 0, false));
        slot.settle(0, 0, 100, |offset| offset as u64);
        let key = Bytes::from_static(b"a");
        slot.cleaned(1, &[(key.clone(), 1)], |offset| offset as u64);
        slot.appended(recent("a", 2, 0, true));
        slot.settle(0, 0, 100, |offset| offset as u64);
        assert_eq!(slot.dead(2), dead(0), "the first one is still there");
        slot.cleaned(0, &[(key, 0)], |offset| offset as u64);
        assert_eq!(slot.dead(2), dead(1));
    }

    #[test]
    fn what_was_lost_supersedes_nothing() {
        let mut slot = Compacted::new(0, 0);
        slot.appended(recent("a", 0, 0, false));
        slot.appended(recent("a", 1, 0, false));
        slot.forget(&[Lost { first: 1, last: 5 }]);
        slot.settle(10, 0, 100, |_| 1);
        assert_eq!(slot.dead(1), dead(0));
    }
}
