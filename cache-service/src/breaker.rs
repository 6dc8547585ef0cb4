//! A circuit breaker: after some failures in a row nothing is tried for a pause, then one operation tries for all.
//!
//! Pure: time is an argument, on the monotonic clock, so that a wall clock that is set back keeps nothing bypassed. A dead
//! Redis then costs one timeout a pause instead of one a request.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    failures_allowed: u32,
    pause: Duration,
    failures: u32,
    /// Nothing is tried before this instant; moved on by each trial, so that one trial runs at a time.
    closed_until: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(failures_allowed: u32, pause: Duration) -> Self {
        Self {
            failures_allowed: failures_allowed.max(1),
            pause,
            failures: 0,
            closed_until: None,
        }
    }

    /// Whether to try now.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        match self.closed_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.closed_until = Some(now + self.pause);
                true
            }
        }
    }

    /// Whether it is bypassed, trials apart.
    pub(crate) fn bypasses(&self) -> bool {
        self.closed_until.is_some()
    }

    /// It worked. Says whether it had been bypassed.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.closed_until.take().is_some()
    }

    /// It failed. Says whether it is bypassed from now on, and was not before.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.failures_allowed {
            return false;
        }
        self.closed_until.replace(now + self.pause).is_none()
    }
}

#[cfg(test)]
mod tests {
    use relay_clock::Clock;

    use super::*;

    #[test]
    fn it_bypasses_after_failures_in_a_row_and_lets_one_trial_through_a_pause() {
        let mut breaker = Breaker::new(3, Duration::from_secs(1));
        let start = Clock::system().instant();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(1)));
        assert!(breaker.allows(at(2)), "two failures are too few");
        assert!(breaker.failed(at(2)), "the third one bypasses, and says so");
        assert!(!breaker.allows(at(1_001)));
        assert!(breaker.allows(at(1_002)), "the trial");
        assert!(!breaker.allows(at(1_003)), "one trial at a time");
        assert!(
            !breaker.failed(at(1_050)),
            "the trial failed: still bypassed, and not news"
        );
        assert!(!breaker.allows(at(2_049)));
        assert!(breaker.allows(at(2_050)));
        assert!(breaker.succeeded(), "recovered, and says so");
        assert!(breaker.allows(at(2_051)));
    }

    #[test]
    fn a_success_forgives_the_failures_before_it() {
        let mut breaker = Breaker::new(2, Duration::from_secs(1));
        let now = Clock::system().instant();
        breaker.failed(now);
        assert!(!breaker.succeeded());
        breaker.failed(now);
        assert!(breaker.allows(now));
    }
}
