//! Which groups are still somebody's: those that read a topic now, and those that did not long ago. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// A group as a reader of a topic, which is named by its number.
pub(super) type Reading = (String, u16);

/// When each group was last a reader of each topic.
#[derive(Debug, Default)]
pub(super) struct Presence {
    seen: BTreeMap<Reading, i64>,
    named: BTreeSet<Reading>,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// To be noted as seen now.
    pub seen: Vec<Reading>,
    /// Readers that are not here and were not named before.
    pub absent: Vec<Reading>,
    /// Absent for so long that what they committed is forgotten.
    pub forgotten: Vec<Reading>,
}

impl Presence {
    /// With what was noted before.
    pub(super) fn new(seen: impl Iterator<Item = (Reading, i64)>) -> Self {
        Self {
            seen: seen.collect(),
            named: BTreeSet::new(),
        }
    }

    /// Looks at who reads now and who has committed something. Somebody who was never noted counts from now on. While the
    /// `grace` lasts nobody is missed: they may not have joined yet.
    pub(super) fn look(
        &mut self,
        joined: &BTreeSet<Reading>,
        committed: &BTreeSet<Reading>,
        now_ms: i64,
        keep_ms: i64,
        grace: bool,
    ) -> Look {
        let mut look = Look::default();
        for reading in joined.union(committed) {
            let here = joined.contains(reading);
            let last = self.seen.get(reading).copied();
            let away = last.map(|last| now_ms.saturating_sub(last));
            // A note that is a tenth too old is good enough, and rarely written.
            if last.is_none() || (here && away.is_some_and(|away| away > keep_ms / 10 || away < 0)) {
                self.seen.insert(reading.clone(), now_ms);
                look.seen.push(reading.clone());
            }
            if here {
                self.named.remove(reading);
            } else if !grace && away.is_some_and(|away| away >= keep_ms) {
                look.forgotten.push(reading.clone());
            } else if !grace && self.named.insert(reading.clone()) {
                look.absent.push(reading.clone());
            }
        }
        for reading in &look.forgotten {
            self.seen.remove(reading);
            self.named.remove(reading);
        }
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(names: &[&str]) -> BTreeSet<Reading> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    }

    fn list(names: &[&str]) -> Vec<Reading> {
        readings(names).into_iter().collect()
    }

    #[test]
    fn an_absent_group_is_named_once_and_forgotten_when_its_time_is_over() {
        let mut presence = Presence::new([(("old".to_owned(), 1), 0)].into_iter());
        let (here, all) = (readings(&["here"]), readings(&["here", "old"]));
        let first = presence.look(&here, &all, 100, 1000, true);
        assert_eq!((first.seen, first.absent), (list(&["here"]), vec![]));
        let second = presence.look(&here, &all, 150, 1000, false);
        assert_eq!((second.seen, second.absent), (vec![], list(&["old"])));
        assert_eq!(presence.look(&here, &all, 180, 1000, false), Look::default());
        let last = presence.look(&here, &all, 1000, 1000, false);
        assert_eq!((last.seen, last.forgotten), (list(&["here"]), list(&["old"])));
    }

    #[test]
    fn nobody_is_forgotten_during_the_grace_or_because_it_was_never_noted() {
        let mut presence = Presence::new([(("old".to_owned(), 1), 0)].into_iter());
        let (nobody, all) = (readings(&[]), readings(&["old", "unknown"]));
        let look = presence.look(&nobody, &all, 5000, 1000, true);
        assert_eq!((look.seen, look.forgotten), (list(&["unknown"]), vec![]));
        let look = presence.look(&nobody, &all, 5000, 1000, false);
        assert_eq!(
            (look.absent, look.forgotten),
            (list(&["unknown"]), list(&["old"]))
        );
    }
}
