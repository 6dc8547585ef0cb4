//! Where the time went: the client's own stamps around those that every stage leaves in the envelope, read from the winners.

use relay_schemas::{Outcome, RequestId, TimestampMs};
use relay_tests::ledger::Ledger;

use super::load::ClientStamps;

/// One hop and how long each request spent in it.
pub struct Hop {
    /// From which stamp to which, and what lies between.
    pub name: &'static str,
    /// One value a request, milliseconds.
    pub sample: Vec<f64>,
}

/// All hops of some requests, in the order of the flow.
pub struct Hops {
    /// The parts, then the whole.
    pub hops: Vec<Hop>,
    /// Requests whose winner lacks a stamp: they went another way (a hit, a failure), and are not among the samples.
    pub unstamped: usize,
}

/// When one request was where.
struct Stamps {
    due: TimestampMs,
    accepted: TimestampMs,
    planned: TimestampMs,
    looked_up: TimestampMs,
    queued: TimestampMs,
    dispatched: TimestampMs,
    begun: TimestampMs,
    ended: TimestampMs,
    answered: TimestampMs,
}

/// A hop's name and its length in milliseconds.
type Span = (&'static str, fn(&Stamps) -> i64);

/// What follows one another from due to answered; they add up to the whole.
const PARTS: [Span; 8] = [
    ("due → accepted (HTTP in)", |s| s.accepted.since_ms(s.due)),
    ("→ planned (requests, synced)", |s| {
        s.planned.since_ms(s.accepted)
    }),
    ("→ looked up (planned)", |s| s.looked_up.since_ms(s.planned)),
    ("→ queued (ready)", |s| s.queued.since_ms(s.looked_up)),
    ("→ dispatched (scheduler)", |s| s.dispatched.since_ms(s.queued)),
    ("→ begun (work)", |s| s.begun.since_ms(s.dispatched)),
    ("→ ended (backend)", |s| s.ended.since_ms(s.begun)),
    ("→ answered (outcomes, out)", |s| s.answered.since_ms(s.ended)),
];
const WHOLE: Span = ("due → answered", |s| s.answered.since_ms(s.due));

/// The hops of the requests that a client has `seen` end.
pub fn of(ledger: &Ledger, seen: &[ClientStamps]) -> Hops {
    let stamps: Vec<Stamps> = seen
        .iter()
        .filter_map(|seen| {
            let id = RequestId::new(seen.request_id.as_str());
            let (outcome, ..) = ledger.winners.get(&id)?;
            Stamps::of(seen, outcome)
        })
        .collect();
    let hop = |(name, span): Span| Hop {
        name,
        sample: stamps.iter().map(|stamps| span(stamps) as f64).collect(),
    };
    Hops {
        hops: PARTS.into_iter().chain([WHOLE]).map(hop).collect(),
        unstamped: seen.len() - stamps.len(),
    }
}

impl Stamps {
    fn of(seen: &ClientStamps, outcome: &Outcome) -> Option<Self> {
        let queueing = outcome.queueing.as_ref()?;
        Some(Self {
            due: seen.due,
            accepted: outcome.request.as_ref()?.accepted_at,
            planned: outcome.planning.as_ref()?.planned_at,
            looked_up: outcome.caching.as_ref()?.looked_up_at,
            queued: queueing.queued_at,
            dispatched: queueing.dispatched_at,
            // A worker counts the backend's time up to the stamp of the end.
            begun: outcome.ended_at.plus_ms(-outcome.timings.backend_latency_ms?),
            ended: outcome.ended_at,
            answered: seen.answered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_add_up_to_the_whole_and_each_is_the_time_since_the_stamp_before() {
        // Each hop takes twice as long as the one before, so that no two are alike.
        let at = |ms: i64| TimestampMs(1_790_000_000_000 + ms);
        let stamps = Stamps {
            due: at(0),
            accepted: at(1),
            planned: at(3),
            looked_up: at(7),
            queued: at(15),
            dispatched: at(31),
            begun: at(63),
            ended: at(127),
            answered: at(255),
        };
        let parts = PARTS.map(|(_, span)| span(&stamps));
        assert_eq!(parts, [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(parts.iter().sum::<i64>(), WHOLE.1(&stamps));
    }

    #[test]
    fn a_request_that_the_log_does_not_know_is_counted_as_without_stamps() {
        let seen = ClientStamps {
            request_id: "unknown".to_owned(),
            due: TimestampMs(0),
            answered: TimestampMs(1),
        };
        let hops = of(&Ledger::default(), &[seen]);
        assert_eq!(hops.unstamped, 1);
        assert!(hops.hops.iter().all(|hop| hop.sample.is_empty()));
    }
}
