//! Trying again, within a budget, so that an endpoint in trouble is not buried under repetitions. Pure.

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
}
