//! Where the time went inside: the stamps that every stage leaves in the envelope, read from the winners. Milliseconds.

use std::ops::Range;

use relay_schemas::{Outcome, TimestampMs};
use relay_tests::ledger::Ledger;

/// One hop and how long each request spent in it.
pub struct Hop {
    /// From which stamp to which.
    pub name: &'static str,
    /// One value a request, milliseconds.
    pub sample: Vec<f64>,
}

/// The hops of the winners that were accepted `within` a span of time.
pub fn of(ledger: &Ledger, within: &Range<TimestampMs>) -> Vec<Hop> {
    let hop = |name, span: fn(&Outcome) -> Option<i64>| {
        let outcomes = ledger
            .winners
            .values()
            .map(|(outcome, ..)| outcome)
            .filter(|outcome| {
                let request = outcome.request.as_ref();
                request.is_some_and(|request| within.contains(&request.accepted_at))
            });
        Hop {
            name,
            sample: outcomes.filter_map(span).map(|ms| ms as f64).collect(),
        }
    };
    vec![
        hop("accepted → planned", |o| {
            Some(
                o.planning
                    .as_ref()?
                    .planned_at
                    .since_ms(o.request.as_ref()?.accepted_at),
            )
        }),
        hop("planned → looked up", |o| {
            Some(
                o.caching
                    .as_ref()?
                    .looked_up_at
                    .since_ms(o.planning.as_ref()?.planned_at),
            )
        }),
        hop("looked up → queued", |o| {
            Some(
                o.queueing
                    .as_ref()?
                    .queued_at
                    .since_ms(o.caching.as_ref()?.looked_up_at),
            )
        }),
        hop("queued → dispatched", |o| {
            let queueing = o.queueing.as_ref()?;
            Some(queueing.dispatched_at.since_ms(queueing.queued_at))
        }),
        hop("dispatched → ended", |o| {
            Some(o.ended_at.since_ms(o.queueing.as_ref()?.dispatched_at))
        }),
        hop("backend", |o| o.timings.backend_latency_ms),
    ]
}
