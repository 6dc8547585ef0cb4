//! Virtual token counters: what a tenant, or a flow inside it, has been charged.
//!
//! A counter is what was settled, what running requests have shown, and what they are held for beyond that: their client's own
//! estimate of their prompts. It falls where less comes of an estimate; what was served never does, and only that lifts others.

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
fn units(cost: u64, percent: u32) -> u64 {
    cost.saturating_mul(MILLI * 100) / u64::from(percent.max(1))
}

/// What a run is charged until it is known what it used, weighted tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Its prompt, as its client estimates it.
    pub held: u64,
    /// The tokens that its worker has shown.
    pub shown: u64,
}

impl Charge {
    /// Of a run that has shown so many tokens.
    pub fn of_run(prompt_tokens: u64, tokens: u64) -> Self {
        Self {
            held: cost(prompt_tokens, 0),
            shown: cost(0, tokens),
        }
    }

    /// What a run has computed that came to nothing: who has shown a token has read its prompt.
    pub fn computed(self) -> u64 {
        if self.shown == 0 {
            0
        } else {
            self.held + self.shown
        }
    }

    fn units(self, percent: u32) -> Self {
        Self {
            held: units(self.held, percent),
            shown: units(self.shown, percent),
        }
    }
}

/// A virtual token counter.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    settled: u64,
    running: Charge,
    /// When it was last served, counted in dispatches.
    pub turn: u64,
}

impl Counter {
    /// A counter as a snapshot tells it.
    pub fn restored(settled: u64, turn: u64) -> Self {
        Self {
            settled,
            turn,
            ..Self::default()
        }
    }

    /// What decides who comes next.
    pub fn value(&self) -> u64 {
        self.served() + self.running.held
    }

    /// What was served: settled, or shown by a run. An estimate is no service.
    pub fn served(&self) -> u64 {
        self.settled + self.running.shown
    }

    /// Without what runs: this goes into a snapshot.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// A run is charged `after` instead of `before`, and `actual` of it for good, at a share of `percent`.
    pub fn charge(&mut self, (before, after): (Charge, Charge), actual: u64, percent: u32) {
        let (before, after) = (before.units(percent), after.units(percent));
        self.running.held = self.running.held - before.held + after.held;
        self.running.shown = self.running.shown - before.shown + after.shown;
        self.settled += units(actual, percent);
    }

    /// Lifts it to what was served to others, `floor`: who was away has no claim to what it did not use.
    pub fn lift(&mut self, floor: u64) {
        self.settled += floor.saturating_sub(self.served());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Charge = Charge { held: 0, shown: 0 };

    #[test]
    fn a_counter_is_what_was_settled_and_what_runs_and_falls_where_less_comes_of_it() {
        let mut counter = Counter::default();
        let begun = Charge::of_run(100, 0);
        counter.charge((NONE, begun), 0, 100);
        let seen =
            |counter: &Counter| [counter.value(), counter.served(), counter.settled()].map(|it| it / MILLI);
        assert_eq!(seen(&counter), [100, 0, 0]);
        let shown = Charge::of_run(100, 4);
        counter.charge((begun, shown), 0, 100);
        assert_eq!(
            seen(&counter),
            [108, 8, 0],
            "an estimate is no service, a token is"
        );
        counter.charge((shown, NONE), 40, 100);
        assert_eq!(seen(&counter), [40, 40, 40]);
    }

    #[test]
    fn a_lift_is_to_what_was_served_and_takes_nothing_away() {
        let mut counter = Counter::restored(30, 0);
        counter.charge((NONE, Charge::of_run(1, 0)), 0, 100);
        counter.lift(20);
        assert_eq!(counter.served(), 30);
        counter.lift(50);
        assert_eq!((counter.served(), counter.value()), (50, 50 + MILLI));
    }

    #[test]
    fn a_double_share_is_charged_half() {
        assert_eq!(units(10, 200), 5 * MILLI);
        assert_eq!(units(10, 0), 1_000 * MILLI);
    }

    #[test]
    fn a_run_that_came_to_nothing_computed_its_tokens_and_its_prompt_only_if_there_are_any() {
        assert_eq!(Charge::of_run(50_000, 0).computed(), 0);
        assert_eq!(Charge::of_run(10, 3).computed(), 16);
    }
}
