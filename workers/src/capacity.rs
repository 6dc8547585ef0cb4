//! How many requests a worker asks for at once: never more than its models turn, as what waits here waits behind the scheduler's
//! back, in the order in which it came. Pure.
//!
//! A model turns so many requests at once (`max_sequences`, `max_concurrent`), of whatever lane. The configured slots bound what
//! a lane holds of all models together; where they ask for more than is turned, they are cut to that.

use relay_schemas::{ModelState, ModelStatus};

/// Requests held at once, by lane, all models together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Of the short lane.
    pub short: u32,
    /// Of the long lane.
    pub long: u32,
}

impl Lanes {
    /// What of these slots models can turn that turn so many each.
    pub fn within(self, turns: impl Iterator<Item = u32>) -> Self {
        let sum = |(short, long): (u32, u32), turns: u32| {
            let long_turns = self.long_turns(turns);
            (short.saturating_add(turns), long.saturating_add(long_turns))
        };
        let (short, long) = turns.fold((0, 0), sum);
        Self {
            short: self.short.min(short),
            long: self.long.min(long),
        }
    }

    /// Turns of a model that the long lane may take: long answers leave a quarter to the short lane, where that takes any.
    fn long_turns(self, turns: u32) -> u32 {
        let left = turns.div_ceil(4).min(self.short);
        turns.saturating_sub(left).max(turns.min(1))
    }

    /// What is told of a model that turns so many requests now; none, unless it is ready.
    pub fn of_model(self, model: &str, state: ModelState, turns: u32) -> ModelStatus {
        let slots = if state == ModelState::Ready { turns } else { 0 };
        ModelStatus {
            model: model.to_owned(),
            state,
            slots,
            long_slots: self.long_turns(slots),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Lanes = Lanes { short: 64, long: 32 };

    fn cut(lanes: Lanes, turns: &[u32]) -> (u32, u32) {
        let cut = lanes.within(turns.iter().copied());
        (cut.short, cut.long)
    }

    #[test]
    fn slots_are_cut_to_what_the_models_turn_and_a_quarter_of_it_is_left_to_the_short_lane() {
        let cases: [(&[u32], (u32, u32)); 7] = [
            (&[16], (16, 12)),
            (&[256], (64, 32)),
            (&[16, 16], (32, 24)),
            (&[1], (1, 1)),
            (&[2], (2, 1)),
            (&[], (0, 0)),
            (&[0], (0, 0)),
        ];
        for (turns, expected) in cases {
            assert_eq!(cut(DEFAULT, turns), expected, "{turns:?}");
        }
        assert_eq!(cut(Lanes { short: 0, long: 32 }, &[16]), (0, 16));
        assert_eq!(cut(Lanes { short: 64, long: 0 }, &[16]), (16, 0));
    }

    #[test]
    fn only_a_ready_model_has_slots() {
        let told = |state| {
            let told = DEFAULT.of_model("m", state, 16);
            (told.slots, told.long_slots)
        };
        assert_eq!(told(ModelState::Ready), (16, 12));
        assert_eq!(told(ModelState::Loading), (0, 0));
        assert_eq!(told(ModelState::Failed), (0, 0));
    }
}
