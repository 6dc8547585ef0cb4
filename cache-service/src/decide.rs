//! What becomes of a planned request once the caches were asked: it goes on, or ends with an answer. Pure.

use std::sync::Arc;

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    CacheStatus, Caching, Outcome, OutcomeStatus, Planned, Provenance, Ready, Run, TimestampMs,
};

use crate::entry::Entry;

/// The outcome of a request whose deadline passed before the caches were asked.
pub fn expired(planned: &Planned, run: Run, now: TimestampMs) -> Outcome {
    let message = "the deadline passed before the caches were asked";
    let ending = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", message);
    end(Known::Planned(planned), run, ending, now)
}

/// The request with what the lookup under `key` came to.
pub fn looked_up(planned: Planned, key: String, exact: CacheStatus, now: TimestampMs) -> Ready {
    let caching = Caching {
        key,
        exact,
        provenance: None,
        looked_up_at: now,
    };
    Ready {
        request: planned.request,
        planning: planned.planning,
        caching: caching.into(),
    }
}

/// The outcome of a request that `entry`, found in `level`, answers.
pub fn answered(mut ready: Ready, entry: &Entry, level: &str, run: Run, now: TimestampMs) -> Outcome {
    Arc::make_mut(&mut ready.caching).provenance = Some(Provenance {
        level: level.to_owned(),
        ..entry.provenance.clone()
    });
    let ending = Ending {
        answer: Some(entry.answer.clone()),
        usage: entry.usage,
        ttft_ms: Some(now.since_ms(ready.request.accepted_at)),
        ..Ending::of(OutcomeStatus::Cached)
    };
    end(Known::Ready(&ready), run, ending, now)
}
