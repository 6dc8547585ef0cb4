//! The core as state that is folded from the log: what a takeover asks of it.

use relay_runner::Folded;

use super::recovery::{Ends, Input};
use super::scheduler::Core;

impl Folded for Core {
    type Input = Input;

    fn topic(&self, input: Input) -> String {
        input.topic(&self.pool)
    }

    fn bound(&mut self, input: Input, partition: i32, low: i64, high: i64) {
        self.recovery.bound(input, partition, low, high);
    }

    /// `ready` from the lowest position that a snapshot expects; outcomes from a little before what is folded, only to remember
    /// that they ended.
    fn reads_from(&self, input: Input, partition: i32) -> i64 {
        match input {
            Input::Ready => self.recovery.ready_from(partition),
            Input::Outcomes => self.offsets().next(input, partition) - self.config.leadership.ended_overlap,
            Input::WorkShort | Input::WorkLong => self.offsets().next(input, partition),
        }
    }

    fn has_folded(&self, ends: &Ends) -> bool {
        self.lacks(ends).is_none()
    }
}
