//! What the scheduler folds.

use relay_bus::topics;

/// An input of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Input {
    /// What is offered.
    Ready,
    /// What was dispatched to the short lane.
    WorkShort,
    /// What was dispatched to the long lane.
    WorkLong,
    /// What ended.
    Outcomes,
}

impl Input {
    /// All inputs.
    pub const ALL: [Self; 4] = [Self::Ready, Self::WorkShort, Self::WorkLong, Self::Outcomes];
    /// The same, what follows from others first: what had ended was dispatched before, and what was dispatched was offered before.
    pub const LAST_FIRST: [Self; 4] = [Self::Outcomes, Self::WorkShort, Self::WorkLong, Self::Ready];

    /// Its topic.
    pub fn topic(self, pool: &str) -> String {
        match self {
            Self::Ready => topics::ready(pool),
            Self::WorkShort => topics::work_short(pool),
            Self::WorkLong => topics::work_long(pool),
            Self::Outcomes => topics::OUTCOMES.to_owned(),
        }
    }
}
