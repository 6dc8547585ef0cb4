//! Trying again, within a budget, so that an endpoint in trouble is not buried under repetitions. Pure.

use std::time::Duration;

/// What a request earns, in hundredths of a retry: one retry for five requests in the long run.
const EARNED: u32 = 20;
/// What a retry costs.
const COST: u32 = 100;
/// What can be saved up.
const MOST: u32 = 10 * COST;

/// A budget of retries, filled by requests.
#[derive(Debug)]
pub struct RetryBudget {
    saved: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { saved: MOST }
    }
}

impl RetryBudget {
    /// A request came.
    pub fn earn(&mut self) {
        self.saved = (self.saved + EARNED).min(MOST);
    }

    /// Takes one retry out, if there is one.
    pub fn spend(&mut self) -> bool {
        match self.saved.checked_sub(COST) {
            Some(rest) => {
                self.saved = rest;
                true
            }
            None => false,
        }
    }
}

/// The wait before retry number `retry` (from 0): doubles from 50 ms to 2 s, of which `random` (`0.0..1.0`) takes up to a half.
pub fn backoff(retry: u32, random: f64) -> Duration {
    let whole = Duration::from_millis(50)
        .saturating_mul(1 << retry.min(10))
        .min(Duration::from_secs(2));
    whole.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_retry_for_five_requests() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..20).filter(|_| budget.spend()).count(), 10);
        let granted = (0..50).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(granted.count(), 10);
    }

    #[test]
    fn waits_double_up_to_their_limit() {
        let ms = |retry, random| backoff(retry, random).as_millis();
        assert_eq!(
            [ms(0, 0.0), ms(1, 0.0), ms(2, 1.0), ms(40, 0.0)],
            [50, 100, 100, 2_000]
        );
    }
}
