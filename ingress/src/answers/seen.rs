//! Which outcomes this ingress has read lately, so that of an id which a client chose by an idempotency key it can tell without the sink
//! whether an outcome that it reads is the first. Pure.
//!
//! The tables know every outcome up to where they are folded; from there on, this ingress knows all that it has read. Where the one begins
//! no later than the other ends, and neither knows an outcome of the request, there is none before those that are still to be read.

use std::collections::{BTreeMap, HashMap, VecDeque};

use relay_schemas::{FoldedOffset, RequestId};

/// Most outcomes remembered: what the tables may lag behind, at a thousand a second a quarter of a minute.
const MOST: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub struct Seen {
    /// By partition: from this offset on, all that was read is remembered.
    from: BTreeMap<i32, i64>,
    order: VecDeque<(i32, i64, RequestId)>,
    count: HashMap<RequestId, u32>,
}

impl Seen {
    /// Reading begins there.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        self.from.entry(partition).or_insert(offset);
    }

    /// An outcome was read. To be called before anybody is told of it.
    pub fn note(&mut self, partition: i32, offset: i64, request: &RequestId) {
        *self.count.entry(request.clone()).or_default() += 1;
        self.order.push_back((partition, offset, request.clone()));
        while self.order.len() > MOST {
            self.forget_oldest();
        }
    }

    /// Whether no outcome of `request` lies before those that are read from now on, where tables that are folded as far as that know
    /// of none.
    pub fn reads_the_first(&self, request: &RequestId, folded: &[FoldedOffset]) -> bool {
        let next: BTreeMap<i32, i64> = folded.iter().map(|at| (at.partition, at.next)).collect();
        let joins = |(partition, from): (&i32, &i64)| next.get(partition).is_some_and(|next| next >= from);
        !self.from.is_empty() && !self.count.contains_key(request) && self.from.iter().all(joins)
    }

    fn forget_oldest(&mut self) {
        let Some((partition, offset, request)) = self.order.pop_front() else {
            return;
        };
        self.from.insert(partition, offset + 1);
        if let Some(count) = self.count.get_mut(&request) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&request);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(next: &[i64]) -> Vec<FoldedOffset> {
        let at = |(partition, next): (i32, &i64)| FoldedOffset {
            topic: "relay.outcomes.v1".to_owned(),
            partition,
            next: *next,
        };
        (0..).zip(next).map(at).collect()
    }

    #[test]
    fn an_outcome_is_the_first_where_the_tables_reach_to_what_was_read_and_neither_knows_another() {
        let mut seen = Seen::default();
        let request = RequestId::new("r");
        assert!(
            !seen.reads_the_first(&request, &folded(&[10, 10])),
            "nothing is read yet"
        );
        seen.begin(0, 5);
        seen.begin(1, 7);
        let cases = [
            (&[5, 7][..], true),
            (&[9, 9], true),
            (&[4, 7], false),
            (&[5, 6], false),
            (&[5], false),
            (&[], false),
        ];
        for (next, first) in cases {
            assert_eq!(seen.reads_the_first(&request, &folded(next)), first, "{next:?}");
        }
        seen.note(0, 5, &RequestId::new("another"));
        assert!(seen.reads_the_first(&request, &folded(&[5, 7])));
        seen.note(0, 6, &request);
        assert!(!seen.reads_the_first(&request, &folded(&[5, 7])));
        seen.begin(0, 6);
        assert_eq!(seen.from[&0], 5, "whoever reads on begins nothing");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_only_the_tables_know() {
        let mut seen = Seen::default();
        seen.begin(0, 0);
        for offset in 0..i64::try_from(MOST).expect("it fits") {
            seen.note(0, offset, &RequestId::new("twice"));
        }
        let request = RequestId::new("r");
        assert!(seen.reads_the_first(&request, &folded(&[0])));
        seen.note(0, 1_000_000, &RequestId::new("newest"));
        assert!(!seen.reads_the_first(&request, &folded(&[0])));
        assert!(seen.reads_the_first(&request, &folded(&[1])));
        assert_eq!((seen.order.len(), seen.count.len()), (MOST, 2));
        for offset in 0..MOST {
            let offset = 2_000_000 + i64::try_from(offset).expect("it fits");
            seen.note(0, offset, &RequestId::new("newest"));
        }
        assert_eq!(seen.count.len(), 1, "{:?}", seen.count);
    }
}
