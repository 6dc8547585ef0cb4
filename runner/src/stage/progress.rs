//! How far each partition may be committed: the lowest contiguous finished offset. Pure.
//!
//! Many records of a partition run at once and finish in any order. What is committed is where reading would resume, so it
//! must never pass a record that is not finished; a crash then repeats some records and loses none.

use std::collections::{BTreeMap, VecDeque};

use relay_bus::{Commit, Partition};

/// The partitions that are owned now.
#[derive(Debug, Default)]
pub(super) struct Progress {
    partitions: BTreeMap<Partition, Track>,
}

#[derive(Debug, Default)]
struct Track {
    /// Taken and not yet passed, ascending; true where finished.
    open: VecDeque<(i64, bool)>,
    /// One more than the newest offset taken.
    next: i64,
    /// What has been handed out as a commit.
    committed: Option<i64>,
}

impl Progress {
    /// Starts anew with `partition`, whatever was known of it.
    pub(super) fn own(&mut self, partition: Partition) {
        self.partitions.insert(partition, Track::default());
    }

    /// Forgets `partition`: what still finishes there is no longer ours to commit.
    pub(super) fn lose(&mut self, partition: &Partition) {
        self.partitions.remove(partition);
    }

    /// Every partition that is owned.
    pub(super) fn owned(&self) -> Vec<Partition> {
        self.partitions.keys().cloned().collect()
    }

    /// Whether `partition` is owned.
    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// `offset` has been taken. An offset that does not lie behind all others is a repetition and changes nothing.
    pub(super) fn take(&mut self, partition: &Partition, offset: i64) {
        let Some(track) = self.partitions.get_mut(partition) else {
            return;
        };
        if offset >= track.next {
            track.open.push_back((offset, false));
            track.next = offset + 1;
        }
    }

    /// `offset` is finished. One that is unknown (its partition was lost in between) changes nothing.
    pub(super) fn finish(&mut self, partition: &Partition, offset: i64) {
        let Some(track) = self.partitions.get_mut(partition) else {
            return;
        };
        if let Ok(at) = track.open.binary_search_by_key(&offset, |(offset, _)| *offset) {
            track.open[at].1 = true;
        }
        while track.open.front().is_some_and(|(_, finished)| *finished) {
            track.open.pop_front();
        }
    }

    /// What may be committed and has not been handed out yet.
    pub(super) fn commits(&mut self, group: &str) -> Vec<Commit> {
        let advanced = |(partition, track): (&Partition, &mut Track)| {
            let next = track.open.front().map_or(track.next, |(offset, _)| *offset);
            let known = track.committed.replace(next);
            (known.is_none_or(|known| known < next)).then(|| Commit {
                group: group.to_owned(),
                partition: partition.clone(),
                next,
            })
        };
        let touched = self.partitions.iter_mut().filter(|(_, track)| track.next > 0);
        touched.filter_map(advanced).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition() -> Partition {
        Partition::new("t", 0)
    }

    fn position(progress: &mut Progress) -> Option<i64> {
        progress.commits("g").first().map(|commit| commit.next)
    }

    #[test]
    fn nothing_is_committed_past_a_record_that_still_runs() {
        let mut progress = Progress::default();
        progress.own(partition());
        for offset in [5, 6, 9] {
            progress.take(&partition(), offset);
        }
        progress.finish(&partition(), 6);
        assert_eq!(position(&mut progress), Some(5), "where reading would resume");
        progress.finish(&partition(), 5);
        assert_eq!(position(&mut progress), Some(9));
        progress.finish(&partition(), 9);
        assert_eq!(position(&mut progress), Some(10));
        assert_eq!(position(&mut progress), None, "a commit is handed out once");
    }

    #[test]
    fn what_finishes_after_its_partition_was_lost_is_not_committed() {
        let mut progress = Progress::default();
        progress.own(partition());
        progress.take(&partition(), 0);
        progress.lose(&partition());
        progress.finish(&partition(), 0);
        assert_eq!(position(&mut progress), None);
        progress.own(partition());
        progress.finish(&partition(), 0);
        assert_eq!(
            position(&mut progress),
            None,
            "nor when it has come back untouched"
        );
    }

    proptest! {
        #[test]
        fn the_commit_is_the_lowest_unfinished_offset_and_never_goes_back(
            gaps in proptest::collection::vec(1_i64..4, 1..60),
            order in any::<u64>(),
            check_every in 1_usize..5,
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut unfinished = offsets.clone();
            let mut progress = Progress::default();
            progress.own(partition());
            for offset in &offsets {
                progress.take(&partition(), *offset);
            }
            let mut last = None;
            let mut seed = order;
            let mut steps = 0;
            while !unfinished.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let done = unfinished.remove((seed >> 33) as usize % unfinished.len());
                progress.finish(&partition(), done);
                steps += 1;
                if steps % check_every == 0 || unfinished.is_empty() {
                    let expected = unfinished.first().copied().unwrap_or(offsets[offsets.len() - 1] + 1);
                    let got = position(&mut progress);
                    prop_assert_eq!(got.or(last), Some(expected));
                    prop_assert!(got.is_none() || got > last);
                    last = got.or(last);
                }
            }
        }
    }
}
