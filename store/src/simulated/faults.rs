//! What may happen to a call. The drawing is pure: the same generator, the same fate.

use std::time::Duration;

use rand::Rng;

/// What may happen to calls. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Of a thousand calls, how many do nothing and say that the tables are unavailable: with all of them, the database is away.
    pub unavailable: u32,
    /// Of a thousand others, how many are done and say so all the same.
    pub untold: u32,
    /// Longest time until a call is done, and once more until it is told of. Somewhere in the former it leaves its process: one that is
    /// killed before has done nothing, and what has left is done whatever becomes of the process, as a database commits for a client
    /// that is gone.
    pub delay: Duration,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) until_left: Duration,
    /// From then on.
    pub(super) until_done: Duration,
    pub(super) is_done: bool,
    pub(super) until_told: Duration,
    pub(super) is_told: bool,
}

impl Faults {
    pub(super) fn of_call(&self, chance: &mut impl Rng) -> Fate {
        let mut one_of = |of_thousand: u32| chance.random_range(0..1_000) < of_thousand;
        let (is_done, is_told) = (!one_of(self.unavailable), !one_of(self.untold));
        // Whole milliseconds, as tokio waits.
        let longest = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        let mut upto = |longest: u64| chance.random_range(0..=longest);
        let (until_done, until_told) = (upto(longest), upto(longest));
        let until_left = upto(until_done);
        Fate {
            until_left: Duration::from_millis(until_left),
            until_done: Duration::from_millis(until_done - until_left),
            is_done,
            until_told: Duration::from_millis(until_told),
            is_told,
        }
    }
}
