//! Models that failed on a worker before a run began: not loaded after all, behind an endpoint that cannot be reached from there, or
//! not run as the worker does not read what a lane gives it.
//!
//! Such a worker would always have most credit, as it fails at once, or holds nothing. So it rests, ever longer, while another
//! worker takes what it would take; then one run shows whether it does better.

use std::collections::BTreeMap;

use relay_schemas::{InstanceId, Lane, TimestampMs};

/// How long the first rest lasts, milliseconds; it doubles.
const FIRST_MS: i64 = 1_000;
/// The longest.
const LONGEST_MS: i64 = 60_000;

/// What a worker did with a run that did not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbegun {
    /// It gave it back.
    Failed,
    /// It did not read it, in this lane.
    Unread(Lane),
}

#[derive(Debug)]
struct Rest {
    why: Unbegun,
    times: u32,
    since: TimestampMs,
}

impl Rest {
    fn ms(&self) -> i64 {
        FIRST_MS
            .saturating_mul(1 << self.times.saturating_sub(1).min(30))
            .min(LONGEST_MS)
    }

    fn concerns(&self, lane: Lane) -> bool {
        match self.why {
            Unbegun::Failed => true,
            Unbegun::Unread(unread) => unread == lane,
        }
    }

    fn is_over(&self, now: TimestampMs) -> bool {
        now.since_ms(self.since) >= self.ms()
    }
}

/// What a worker that may have failed a model takes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It has not failed it.
    Full,
    /// One run at a time, to show whether it does better.
    One,
    /// It rests.
    None,
}

/// See the module. Bounded by the models of the workers that are known.
#[derive(Debug, Default)]
pub struct Resting(BTreeMap<InstanceId, BTreeMap<String, Rest>>);

impl Resting {
    /// A run that was leased at `leased_at` did not begin. Those that were on their way when the rest began do not prolong it.
    pub fn failed(
        &mut self,
        worker: &InstanceId,
        model: &str,
        why: Unbegun,
        leased_at: TimestampMs,
        now: TimestampMs,
    ) {
        let models = self.0.entry(worker.clone()).or_default();
        let rest = models.entry(model.to_owned()).or_insert(Rest {
            why,
            times: 0,
            since: now,
        });
        if rest.why != why {
            rest.why = Unbegun::Failed;
        }
        if rest.times == 0 || (rest.is_over(now) && rest.since < leased_at) {
            (rest.times, rest.since) = (rest.times.saturating_add(1), now);
        }
    }

    /// A run that was leased at `leased_at` has begun. One that was there before the rest shows nothing: it may have begun long ago.
    pub fn works(&mut self, worker: &InstanceId, model: &str, lane: Lane, leased_at: TimestampMs) {
        self.end(worker, model, |rest| {
            rest.concerns(lane) && rest.since < leased_at
        });
    }

    /// A run that was leased at `leased_at` was read.
    pub fn reads(&mut self, worker: &InstanceId, model: &str, lane: Lane, leased_at: TimestampMs) {
        self.end(worker, model, |rest| {
            rest.why == Unbegun::Unread(lane) && rest.since < leased_at
        });
    }

    fn end(&mut self, worker: &InstanceId, model: &str, ends: impl FnOnce(&Rest) -> bool) {
        let Some(models) = self.0.get_mut(worker) else {
            return;
        };
        if models.get(model).is_some_and(ends) {
            models.remove(model);
        }
        if models.is_empty() {
            self.0.remove(worker);
        }
    }

    /// The worker was started again, or is gone.
    pub fn forget(&mut self, worker: &InstanceId) {
        self.0.remove(worker);
    }

    /// What a worker takes of a model, of a lane.
    pub fn trust(&self, worker: &InstanceId, model: &str, lane: Lane, now: TimestampMs) -> Trust {
        let rest = self.0.get(worker).and_then(|models| models.get(model));
        match rest.filter(|rest| rest.concerns(lane)) {
            None => Trust::Full,
            Some(rest) if rest.is_over(now) => Trust::One,
            Some(_) => Trust::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_with_each_failure_after_it_and_ends_with_a_run_that_was_leased_since_and_has_begun() {
        let mut resting = Resting::default();
        let (worker, at) = (InstanceId::from("w"), TimestampMs);
        let trust = |resting: &Resting, ms| resting.trust(&worker, "m", Lane::Short, at(ms));
        let fail = |resting: &mut Resting, leased_at, ms| {
            resting.failed(&worker, "m", Unbegun::Failed, at(leased_at), at(ms));
        };
        assert_eq!(trust(&resting, 0), Trust::Full);
        for _ in 0..96 {
            fail(&mut resting, 0, 0);
        }
        assert_eq!(
            [999, 1_000].map(|ms| trust(&resting, ms)),
            [Trust::None, Trust::One]
        );
        fail(&mut resting, 0, 1_000);
        assert_eq!(trust(&resting, 1_000), Trust::One, "it was there before the rest");
        fail(&mut resting, 1_000, 1_000);
        assert_eq!(
            [2_999, 3_000].map(|ms| trust(&resting, ms)),
            [Trust::None, Trust::One]
        );
        assert_eq!(resting.trust(&worker, "n", Lane::Short, at(0)), Trust::Full);
        let mut now = 3_000;
        for _ in 0..100 {
            fail(&mut resting, now, now);
            now += LONGEST_MS;
            assert_eq!(trust(&resting, now), Trust::One);
        }
        let began = now - LONGEST_MS;
        resting.works(&worker, "m", Lane::Long, at(began));
        assert_eq!(trust(&resting, now), Trust::One, "it was there before the rest");
        resting.works(&worker, "m", Lane::Long, at(began + 1));
        assert_eq!(trust(&resting, 0), Trust::Full);
    }

    #[test]
    fn a_lane_that_is_not_read_rests_alone_until_a_run_of_it_is_read() {
        let mut resting = Resting::default();
        let (worker, at) = (InstanceId::from("w"), TimestampMs);
        let trust = |resting: &Resting| {
            [Lane::Short, Lane::Long].map(|lane| resting.trust(&worker, "m", lane, at(2_000)))
        };
        let unread = Unbegun::Unread(Lane::Short);
        resting.failed(&worker, "m", unread, at(0), at(2_000));
        assert_eq!(trust(&resting), [Trust::None, Trust::Full]);
        for (lane, leased_at) in [(Lane::Long, 3_000), (Lane::Short, 2_000)] {
            resting.reads(&worker, "m", lane, at(leased_at));
            resting.works(&worker, "m", lane, at(leased_at));
            assert_eq!(trust(&resting), [Trust::None, Trust::Full]);
        }
        resting.reads(&worker, "m", Lane::Short, at(3_000));
        assert_eq!(trust(&resting), [Trust::Full, Trust::Full]);
        resting.failed(&worker, "m", unread, at(3_000), at(2_000));
        resting.failed(&worker, "m", Unbegun::Failed, at(3_000), at(2_000));
        resting.reads(&worker, "m", Lane::Short, at(4_000));
        assert_eq!(
            trust(&resting),
            [Trust::None, Trust::None],
            "it read it, and failed"
        );
    }
}
