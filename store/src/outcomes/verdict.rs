//! Which record of a request wins. Pure: the database only keeps, per request, the lowest offset seen.
//!
//! All records of one key lie in one partition, so "first in partition order" is the lowest offset there. A record with a
//! lower offset can be folded later than one with a higher one (after a replay): then it takes the place over. A record
//! from another partition than the one remembered breaks that promise of the topic and never wins.

use std::collections::{HashMap, HashSet};

use crate::logged::LoggedOutcome;

/// What became of an outcome. The first in partition order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first of its request: it is the truth.
    Won,
    /// This very record was folded before.
    Redelivered,
    /// Another record of the request won.
    Superseded,
}

/// Partition and offset.
pub(crate) type Position = (i64, i64);

/// Where each request's winner lies.
pub type WinnerPositions = HashMap<String, Position>;

pub(crate) fn position(logged: &LoggedOutcome) -> Position {
    (i64::from(logged.partition), logged.offset)
}

/// One record a request, the one that can win; sorted by request id, so that two writers lock in the same order.
pub(crate) fn candidates(batch: &[LoggedOutcome]) -> Vec<&LoggedOutcome> {
    let mut best: HashMap<&str, &LoggedOutcome> = HashMap::with_capacity(batch.len());
    for logged in batch {
        best.entry(logged.outcome.request_id.as_str())
            .and_modify(|best| {
                if logged.partition == best.partition && logged.offset < best.offset {
                    *best = logged;
                }
            })
            .or_insert(logged);
    }
    let mut candidates: Vec<&LoggedOutcome> = best.into_values().collect();
    candidates.sort_unstable_by(|one, other| one.outcome.request_id.cmp(&other.outcome.request_id));
    candidates
}

/// What each record of the batch turned out to be, given where each request's winner lies now and which requests'
/// winners this batch has changed.
pub(crate) fn judge(
    batch: &[LoggedOutcome],
    winners: &HashMap<String, Position>,
    changed: &HashSet<String>,
) -> Vec<Verdict> {
    let mut judged = HashSet::new();
    let judge_one = |logged: &LoggedOutcome| {
        let request = logged.outcome.request_id.as_str();
        if winners.get(request) != Some(&position(logged)) {
            Verdict::Superseded
        } else if changed.contains(request) && judged.insert(request.to_owned()) {
            Verdict::Won
        } else {
            Verdict::Redelivered
        }
    };
    batch.iter().map(judge_one).collect()
}

/// Folds `batch` into where each request's winner lies, in memory, as the databases do in their tables.
pub fn fold(winners: &mut WinnerPositions, batch: &[LoggedOutcome]) -> Vec<Verdict> {
    let changed = change(winners, &candidates(batch));
    judge(batch, winners, &changed)
}

/// Lets each of `candidates` take its request's place in `winners`, if that is its own; whose place was taken.
pub(crate) fn change(winners: &mut WinnerPositions, candidates: &[&LoggedOutcome]) -> HashSet<String> {
    let mut changed = HashSet::new();
    for candidate in candidates {
        let id = candidate.outcome.request_id.as_str();
        let here = position(candidate);
        let wins = winners
            .get(id)
            .is_none_or(|there| there.0 == here.0 && there.1 > here.1);
        if wins {
            winners.insert(id.to_owned(), here);
            changed.insert(id.to_owned());
        }
    }
    changed
}

/// Those of `candidates` that won.
pub(crate) fn won<'a>(candidates: &[&'a LoggedOutcome], changed: &HashSet<String>) -> Vec<&'a LoggedOutcome> {
    let candidates = candidates.iter().copied();
    let won = |logged: &&LoggedOutcome| changed.contains(logged.outcome.request_id.as_str());
    candidates.filter(won).collect()
}

/// What Postgres says of a fold, where others fold at the same time.
#[derive(Default)]
pub(crate) struct Upserted {
    /// Requests whose winner this batch is, and was not before.
    pub(crate) changed: HashSet<String>,
    /// Where the winners of the others lie.
    pub(crate) others: WinnerPositions,
}

impl Upserted {
    /// Candidates that did not win.
    pub(crate) fn lost<'a>(&self, candidates: &[&'a LoggedOutcome]) -> Vec<&'a str> {
        let ids = candidates.iter().map(|logged| logged.outcome.request_id.as_str());
        ids.filter(|id| !self.changed.contains(*id)).collect()
    }

    /// What became of each record of the batch.
    pub(crate) fn judge(mut self, batch: &[LoggedOutcome], candidates: &[&LoggedOutcome]) -> Vec<Verdict> {
        for logged in won(candidates, &self.changed) {
            let id = logged.outcome.request_id.as_str().to_owned();
            self.others.insert(id, position(logged));
        }
        judge(batch, &self.others, &self.changed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relay_lifecycle::{Ending, Known, end};
    use relay_schemas::{OutcomeStatus, Run, Service, TimestampMs};

    use super::*;

    fn logged(request: u8, partition: i32, offset: i64) -> LoggedOutcome {
        let run = Run {
            service: Service::Runner,
            instance: "instance".into(),
            epoch: 1,
            attempt: 0,
        };
        let (request, tenant) = (request.to_string().as_str().into(), "tenant".into());
        let ending = Ending::of(OutcomeStatus::Failed);
        LoggedOutcome {
            outcome: end(
                Known::Headers(&request, &tenant),
                run,
                ending,
                TimestampMs(offset),
            )
            .into(),
            partition,
            offset,
            traceparent: None,
        }
    }

    #[test]
    fn the_lowest_offset_of_a_batch_wins_and_copies_of_it_are_the_same_record() {
        use Verdict::{Redelivered, Superseded, Won};
        let batch = [logged(1, 0, 5), logged(1, 0, 3), logged(2, 1, 4), logged(1, 0, 3)];
        assert_eq!(
            fold(&mut HashMap::new(), &batch),
            [Superseded, Won, Won, Redelivered]
        );
    }

    #[test]
    fn a_record_from_another_partition_never_wins_over_the_first() {
        use Verdict::{Superseded, Won};
        let mut memory = HashMap::new();
        assert_eq!(
            fold(&mut memory, &[logged(1, 0, 5), logged(1, 1, 2)]),
            [Won, Superseded]
        );
        assert_eq!(fold(&mut memory, &[logged(1, 1, 1)]), [Superseded]);
    }

    proptest! {
        /// However the records arrive and are batched, in the end the lowest offset has won, and at any time exactly the
        /// records that were judged `Won` since are those that took the place.
        #[test]
        fn the_order_of_arrival_does_not_decide(
            arrivals in proptest::collection::vec((0_u8..4, 0_i64..12), 1..60),
            sizes in proptest::collection::vec(1_usize..9, 1..60),
        ) {
            // A log position holds one record, so the offset decides whose it is.
            let records: Vec<LoggedOutcome> = arrivals.iter().map(|(_, offset)| logged((offset % 4) as u8, 0, *offset)).collect();
            let mut memory = HashMap::new();
            let mut won: HashMap<String, i64> = HashMap::new();
            let (mut rest, mut sizes) = (&records[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (batch, after) = rest.split_at((*sizes.next().expect("a cycle")).min(rest.len()));
                rest = after;
                for (logged, folded) in batch.iter().zip(fold(&mut memory, batch)) {
                    if folded == Verdict::Won {
                        let before = won.insert(logged.outcome.request_id.as_str().to_owned(), logged.offset);
                        prop_assert!(before.is_none_or(|before| before > logged.offset));
                    }
                }
            }
            for (request, (_, offset)) in &memory {
                let of_request = records.iter().filter(|record| record.outcome.request_id.as_str() == request);
                prop_assert_eq!(of_request.map(|record| record.offset).min(), Some(*offset));
                prop_assert_eq!(won.get(request), Some(offset));
            }
        }
    }
}
