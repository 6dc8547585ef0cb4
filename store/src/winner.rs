//! Which record of a request wins. Pure: the database only keeps, per request, the lowest offset seen.
//!
//! All records of one key lie in one partition, so "first in partition order" is the lowest offset there. A record with a
//! lower offset can be folded later than one with a higher one (after a replay): then it takes the place over. A record
//! from another partition than the one remembered breaks that promise of the topic and never wins.

use std::collections::{HashMap, HashSet};

use crate::{Folded, Stored};

/// Where a record lies: partition and offset.
pub type Place = (i64, i64);

/// Where each request's winner lies.
pub type Winners = HashMap<String, Place>;

pub(crate) fn place(stored: &Stored) -> Place {
    (i64::from(stored.partition), stored.offset)
}

/// One record a request, the one that can win; sorted by request id, so that two writers lock in the same order.
pub(crate) fn candidates(batch: &[Stored]) -> Vec<&Stored> {
    let mut best: HashMap<&str, &Stored> = HashMap::with_capacity(batch.len());
    for stored in batch {
        best.entry(stored.outcome.request_id.as_str())
            .and_modify(|best| {
                if stored.partition == best.partition && stored.offset < best.offset {
                    *best = stored;
                }
            })
            .or_insert(stored);
    }
    let mut candidates: Vec<&Stored> = best.into_values().collect();
    candidates.sort_unstable_by(|one, other| one.outcome.request_id.cmp(&other.outcome.request_id));
    candidates
}

/// What each record of the batch turned out to be, given where each request's winner lies now and which requests'
/// winners this batch has changed.
pub(crate) fn judge(
    batch: &[Stored],
    winners: &HashMap<String, Place>,
    changed: &HashSet<String>,
) -> Vec<Folded> {
    let mut told = HashSet::new();
    let judge_one = |stored: &Stored| {
        let request = stored.outcome.request_id.as_str();
        if winners.get(request) != Some(&place(stored)) {
            Folded::Superseded
        } else if changed.contains(request) && told.insert(request.to_owned()) {
            Folded::Won
        } else {
            Folded::Again
        }
    };
    batch.iter().map(judge_one).collect()
}

/// Folds `batch` into where each request's winner lies, in memory, as the databases do in their tables.
pub fn fold(winners: &mut Winners, batch: &[Stored]) -> Vec<Folded> {
    let mut changed = HashSet::new();
    for candidate in candidates(batch) {
        let id = candidate.outcome.request_id.as_str();
        let here = place(candidate);
        let wins = winners
            .get(id)
            .is_none_or(|there| there.0 == here.0 && there.1 > here.1);
        if wins {
            winners.insert(id.to_owned(), here);
            changed.insert(id.to_owned());
        }
    }
    judge(batch, winners, &changed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relay_lifecycle::{Ending, Known, end};
    use relay_schemas::{OutcomeStatus, Run, Service, TimestampMs};

    use super::*;

    fn stored(request: u8, partition: i32, offset: i64) -> Stored {
        let run = Run {
            service: Service::Runner,
            instance: "instance".into(),
            epoch: 1,
            attempt: 0,
        };
        let (request, tenant) = (request.to_string().as_str().into(), "tenant".into());
        let ending = Ending::of(OutcomeStatus::Failed);
        Stored {
            outcome: end(
                Known::Headers(&request, &tenant),
                run,
                ending,
                TimestampMs(offset),
            ),
            partition,
            offset,
        }
    }

    #[test]
    fn the_lowest_offset_of_a_batch_wins_and_copies_of_it_are_the_same_record() {
        use Folded::{Again, Superseded, Won};
        let batch = [stored(1, 0, 5), stored(1, 0, 3), stored(2, 1, 4), stored(1, 0, 3)];
        assert_eq!(fold(&mut HashMap::new(), &batch), [Superseded, Won, Won, Again]);
    }

    #[test]
    fn a_record_from_another_partition_never_wins_over_the_first() {
        use Folded::{Superseded, Won};
        let mut memory = HashMap::new();
        assert_eq!(
            fold(&mut memory, &[stored(1, 0, 5), stored(1, 1, 2)]),
            [Won, Superseded]
        );
        assert_eq!(fold(&mut memory, &[stored(1, 1, 1)]), [Superseded]);
    }

    proptest! {
        /// However the records arrive and are batched, in the end the lowest offset has won, and at any time exactly the
        /// records that were told `Won` since are those that took the place.
        #[test]
        fn the_order_of_arrival_does_not_decide(
            arrivals in proptest::collection::vec((0_u8..4, 0_i64..12), 1..60),
            sizes in proptest::collection::vec(1_usize..9, 1..60),
        ) {
            // A log position holds one record, so the offset decides whose it is.
            let records: Vec<Stored> = arrivals.iter().map(|(_, offset)| stored((offset % 4) as u8, 0, *offset)).collect();
            let mut memory = HashMap::new();
            let mut won: HashMap<String, i64> = HashMap::new();
            let (mut rest, mut sizes) = (&records[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let (batch, after) = rest.split_at((*sizes.next().expect("a cycle")).min(rest.len()));
                rest = after;
                for (stored, folded) in batch.iter().zip(fold(&mut memory, batch)) {
                    if folded == Folded::Won {
                        let before = won.insert(stored.outcome.request_id.as_str().to_owned(), stored.offset);
                        prop_assert!(before.is_none_or(|before| before > stored.offset));
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
