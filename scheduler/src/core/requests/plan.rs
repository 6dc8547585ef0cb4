//! What a request's plan says of its queue.

use relay_clock::Timeline;
use relay_schemas::{Class, Lane, Ready, TimestampMs};

use crate::core::queues::{Flow, Route};

/// The earlier of the request's deadline and the plan's, by the steady clock: so long after it was accepted.
pub fn due(ready: &Ready, timeline: &Timeline, now: TimestampMs) -> TimestampMs {
    let accepted_at = ready.request.accepted_at;
    let deadline = ready.request.deadline.min(ready.planning.plan.deadline);
    let life_ms = deadline.since_ms(accepted_at);
    timeline.steady_of(accepted_at, now).plus_ms(life_ms)
}

/// The lane that the plan chose by predicted length.
pub fn lane(ready: &Ready) -> Lane {
    let plan = &ready.planning.plan;
    if plan.predicted_tokens <= plan.lane_threshold_tokens {
        Lane::Short
    } else {
        Lane::Long
    }
}

/// The flow inside its tenant.
pub fn flow(class: Class, lane: Lane) -> Flow {
    match (class, lane) {
        (Class::Batch, _) => Flow::Batch,
        (Class::Interactive, Lane::Short) => Flow::Short,
        (Class::Interactive, Lane::Long) => Flow::Long,
    }
}

/// Which workers of `pool` can take it.
pub fn route(ready: &Ready, pool: &str) -> Route {
    let candidates = ready.planning.plan.candidates.iter();
    Route {
        lane: lane(ready),
        models: candidates
            .filter(|candidate| candidate.pool == pool)
            .map(|candidate| candidate.model.clone())
            .collect(),
    }
}
