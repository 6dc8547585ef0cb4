//! Virtual token counters: what a tenant, or a flow inside it, has been charged.
//!
//! A counter only grows, so that nobody is served out of turn after a correction; yet it is exact: what a request was
//! charged too much for the time being stays as prepaid and pays for the next.

/// Weight of an input token (VTC, Sheng et al. 2024: `w_p`).
pub const W_IN: u64 = 1;
/// Weight of an output token (`w_q`).
pub const W_OUT: u64 = 2;
/// Counters are kept in thousandths, so that shares divide without losing much.
pub const MILLI: u64 = 1_000;

/// The weighted tokens of a request.
pub fn cost(prompt_tokens: u64, completion_tokens: u64) -> u64 {
    W_IN * prompt_tokens + W_OUT * completion_tokens
}

/// What `cost` charges to a counter with a share of `percent`.
pub fn units(cost: u64, percent: u32) -> u64 {
    cost.saturating_mul(MILLI * 100) / u64::from(percent.max(1))
}

/// A virtual token counter.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    value: u64,
    prepaid: u64,
    held: u64,
    /// When it was last served, counted in dispatches.
    pub turn: u64,
}

impl Counter {
    /// A counter as a snapshot tells it.
    pub fn restored(value: u64, turn: u64) -> Self {
        Self {
            value,
            turn,
            ..Self::default()
        }
    }

    /// What decides who comes next. Never falls.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Without what running requests are charged for the time being: this goes into a snapshot.
    pub fn settled(&self) -> u64 {
        self.value - self.prepaid - self.held
    }

    /// Charges `units` for the time being.
    pub fn hold(&mut self, units: u64) {
        self.held += units;
        self.add(units);
    }

    /// Turns `held` units into the `actual` ones, for good.
    pub fn settle(&mut self, held: u64, actual: u64) {
        self.held -= held;
        match actual.checked_sub(held) {
            Some(more) => self.add(more),
            None => self.prepaid += held - actual,
        }
    }

    /// Lifts it to `floor`: who was away has no claim to what it did not use.
    pub fn lift(&mut self, floor: u64) {
        self.value = self.value.max(floor);
    }

    fn add(&mut self, units: u64) {
        let paid = self.prepaid.min(units);
        self.prepaid -= paid;
        self.value += units - paid;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_charged_too_much_pays_for_the_next() {
        let mut counter = Counter::default();
        counter.hold(100);
        counter.settle(100, 40);
        assert_eq!((counter.value(), counter.settled()), (100, 40));
        counter.hold(50);
        assert_eq!((counter.value(), counter.settled()), (100, 40));
        counter.settle(50, 90);
        assert_eq!((counter.value(), counter.settled()), (130, 130));
    }

    #[test]
    fn a_double_share_is_charged_half() {
        assert_eq!(units(10, 200), 5 * MILLI);
        assert_eq!(units(10, 0), 1_000 * MILLI);
    }
}
