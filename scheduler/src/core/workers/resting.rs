//! Models that failed on a worker before a run began: not loaded after all, or behind an endpoint that cannot be reached from there.
//!
//! Such a worker fails at once, and would therefore always have most credit. So it rests, ever longer, while another worker takes
//! what it would take; then one run shows whether it does better.

use std::collections::BTreeMap;

use relay_schemas::{InstanceId, TimestampMs};

/// How long the first rest lasts, milliseconds; it doubles.
const FIRST_MS: i64 = 1_000;
/// The longest.
const LONGEST_MS: i64 = 60_000;

#[derive(Debug)]
struct Rest {
    times: u32,
    since: TimestampMs,
}

impl Rest {
    fn ms(&self) -> i64 {
        FIRST_MS
            .saturating_mul(1 << self.times.saturating_sub(1).min(30))
            .min(LONGEST_MS)
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
    /// A run failed before it began. Those that were on their way when the rest began do not prolong it.
    pub fn failed(&mut self, worker: &InstanceId, model: &str, now: TimestampMs) {
        let models = self.0.entry(worker.clone()).or_default();
        let rest = models
            .entry(model.to_owned())
            .or_insert(Rest { times: 0, since: now });
        if rest.times == 0 || rest.is_over(now) {
            (rest.times, rest.since) = (rest.times.saturating_add(1), now);
        }
    }

    /// A run that was leased at `leased_at` has begun. One that was there before the rest shows nothing: it may have begun long ago.
    pub fn works(&mut self, worker: &InstanceId, model: &str, leased_at: TimestampMs) {
        let Some(models) = self.0.get_mut(worker) else {
            return;
        };
        if models.get(model).is_some_and(|rest| rest.since < leased_at) {
            models.remove(model);
        }
        if models.is_empty() {
            self.0.remove(worker);
        }
    }

    /// Whether a worker has failed any model.
    pub fn knows(&self, worker: &InstanceId) -> bool {
        self.0.contains_key(worker)
    }

    /// The worker was started again, or is gone.
    pub fn forget(&mut self, worker: &InstanceId) {
        self.0.remove(worker);
    }

    /// What a worker takes of a model.
    pub fn trust(&self, worker: &InstanceId, model: &str, now: TimestampMs) -> Trust {
        match self.0.get(worker).and_then(|models| models.get(model)) {
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
        let trust = |resting: &Resting, ms| resting.trust(&worker, "m", at(ms));
        assert_eq!(trust(&resting, 0), Trust::Full);
        for _ in 0..96 {
            resting.failed(&worker, "m", at(0));
        }
        assert_eq!(
            [999, 1_000].map(|ms| trust(&resting, ms)),
            [Trust::None, Trust::One]
        );
        resting.failed(&worker, "m", at(1_000));
        assert_eq!(
            [2_999, 3_000].map(|ms| trust(&resting, ms)),
            [Trust::None, Trust::One]
        );
        assert_eq!(resting.trust(&worker, "n", at(0)), Trust::Full);
        let mut now = 3_000;
        for _ in 0..100 {
            resting.failed(&worker, "m", at(now));
            now += LONGEST_MS;
            assert_eq!(trust(&resting, now), Trust::One);
        }
        let began = now - LONGEST_MS;
        resting.works(&worker, "m", at(began));
        assert_eq!(trust(&resting, now), Trust::One, "it was there before the rest");
        resting.works(&worker, "m", at(began + 1));
        assert_eq!(trust(&resting, 0), Trust::Full);
    }
}
