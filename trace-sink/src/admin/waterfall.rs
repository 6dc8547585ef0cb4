//! Where a request's time went, as bars one under the other. Pure.
//!
//! The instants come from different machines' clocks, so each bar is kept inside the request's own time.

use std::borrow::Cow;

use relay_schemas::{Outcome, OutcomeStatus, TimestampMs};
use serde::Serialize;

use super::time::duration;

/// One bar, in per mille of the whole.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Bar {
    label: Cow<'static, str>,
    class: &'static str,
    from: i64,
    width: i64,
    took: String,
}

/// The bars, in the order of the flow; none where the request itself is not known.
pub(super) fn bars(outcome: &Outcome) -> Vec<Bar> {
    let Some(request) = &outcome.request else {
        return Vec::new();
    };
    let total = outcome.timings.latency_ms.max(1);
    let since = |at: TimestampMs| at.since_ms(request.accepted_at).clamp(0, total);
    let mut drawing = Drawing {
        total,
        reached: 0,
        bars: Vec::new(),
    };
    if let Some(planning) = &outcome.planning {
        drawing.until("plan", "plan", since(planning.planned_at));
    }
    if let Some(caching) = &outcome.caching {
        drawing.until("cache lookup", "cache", since(caching.looked_up_at));
    }
    for handover in outcome.planning.iter().flat_map(|planning| &planning.handovers) {
        let label = format!("in pool {}", handover.from_pool);
        drawing.until(label, "queue", since(handover.handed_over_at));
    }
    if let Some(queueing) = &outcome.queueing {
        drawing.until("to the scheduler", "hop", since(queueing.queued_at));
        drawing.until("queue", "queue", since(queueing.dispatched_at));
    }
    if let Some(ttft_ms) = outcome.timings.ttft_ms {
        drawing.until("first token", "prefill", ttft_ms.clamp(0, total));
    }
    let rest = match outcome.status {
        OutcomeStatus::Completed if outcome.timings.ttft_ms.is_none() => "answer, in one piece",
        OutcomeStatus::Completed => "the other tokens",
        OutcomeStatus::Cached => "answer from the cache",
        _ => "until the end",
    };
    drawing.until(rest, "decode", total);
    drawing.bars
}

struct Drawing {
    total: i64,
    reached: i64,
    bars: Vec<Bar>,
}

impl Drawing {
    /// A bar from where the last one ended.
    fn until(&mut self, label: impl Into<Cow<'static, str>>, class: &'static str, to: i64) {
        let to = to.max(self.reached);
        let per_mille = |ms: i64| (i128::from(ms) * 1_000 / i128::from(self.total)) as i64;
        self.bars.push(Bar {
            label: label.into(),
            class,
            from: per_mille(self.reached),
            width: per_mille(to) - per_mille(self.reached),
            took: duration(Some(to - self.reached)),
        });
        self.reached = to;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_schemas::{HandOver, samples};

    use super::*;

    /// Found in the cache, `ms` after the request was accepted.
    fn cached(planned_ms: i64, looked_up_ms: i64, ended_ms: i64) -> Outcome {
        let at = |ms| samples::ACCEPTED_AT.plus_ms(ms);
        let mut outcome = Outcome {
            status: OutcomeStatus::Cached,
            queueing: None,
            lease: None,
            ended_at: at(ended_ms),
            ..samples::outcome()
        };
        outcome.timings.latency_ms = ended_ms;
        if let Some(planning) = outcome.planning.as_mut().map(Arc::make_mut) {
            planning.planned_at = at(planned_ms);
        }
        if let Some(caching) = outcome.caching.as_mut().map(Arc::make_mut) {
            caching.looked_up_at = at(looked_up_ms);
        }
        outcome
    }

    #[test]
    fn the_bars_lie_end_to_end_and_fill_the_whole() {
        let bars = bars(&cached(10, 30, 40));
        let places: Vec<(&str, i64, i64)> = bars
            .iter()
            .map(|bar| (&*bar.label, bar.from, bar.width))
            .collect();
        assert_eq!(
            places,
            [
                ("plan", 0, 250),
                ("cache lookup", 250, 500),
                ("answer from the cache", 750, 250)
            ]
        );
    }

    #[test]
    fn time_spent_in_a_pool_that_gave_up_is_shown_as_its_own() {
        let mut outcome = samples::outcome();
        outcome.timings.latency_ms = 1_000;
        let at = |ms| samples::ACCEPTED_AT.plus_ms(ms);
        let planning = Arc::make_mut(outcome.planning.as_mut().expect("the sample was planned"));
        planning.planned_at = at(0);
        planning.handovers = vec![HandOver {
            from_pool: "other".to_owned(),
            to_pool: "default".to_owned(),
            code: "no_worker".to_owned(),
            message: String::new(),
            attempts: 1,
            handed_over_at: at(800),
        }];
        let caching = outcome.caching.as_mut().expect("the sample was looked up");
        Arc::make_mut(caching).looked_up_at = at(100);
        let queueing = outcome.queueing.as_mut().expect("the sample was queued");
        (queueing.queued_at, queueing.dispatched_at) = (at(810), at(900));
        let bars = bars(&outcome);
        let places: Vec<(&str, i64)> = bars.iter().map(|bar| (&*bar.label, bar.width)).collect();
        assert_eq!(
            places[1..5],
            [
                ("cache lookup", 100),
                ("in pool other", 700),
                ("to the scheduler", 10),
                ("queue", 90)
            ]
        );
    }

    #[test]
    fn an_answer_that_came_in_one_piece_has_no_first_token() {
        let mut outcome = samples::outcome();
        for (ttft_ms, last) in [(Some(1), "the other tokens"), (None, "answer, in one piece")] {
            outcome.timings.ttft_ms = ttft_ms;
            let bars = bars(&outcome);
            assert_eq!(bars.last().map(|bar| &*bar.label), Some(last));
            let has_first = bars.iter().any(|bar| bar.label == "first token");
            assert_eq!(has_first, ttft_ms.is_some());
        }
    }

    #[test]
    fn clocks_that_disagree_do_not_draw_outside() {
        let bars = bars(&cached(-100, 4_000, 40));
        let places: Vec<(i64, i64)> = bars.iter().map(|bar| (bar.from, bar.width)).collect();
        assert_eq!(places, [(0, 0), (0, 1_000), (1_000, 0)]);
    }

    #[test]
    fn a_request_that_ended_at_once_has_bars_too() {
        let outcome = Outcome {
            status: OutcomeStatus::Expired,
            caching: None,
            ..cached(0, 0, 0)
        };
        assert_eq!(bars(&outcome).len(), 2);
    }
}
