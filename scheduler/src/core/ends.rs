//! What must be folded before a new leader decides.

use super::{Core, Input};

/// Where each input ended at the election: input, partition, offset.
#[derive(Debug, Clone, Default)]
pub struct Ends(Vec<(Input, i32, i64)>);

impl Ends {
    /// One partition's end.
    pub fn add(&mut self, input: Input, partition: i32, end: i64) {
        self.0.push((input, partition, end));
    }

    /// Whether everything offered and dispatched before the election is folded. Offers that do not fit into memory do not count.
    pub fn work_is_folded(&self, core: &Core) -> bool {
        self.0.iter().all(|(input, partition, end)| match input {
            Input::Outcomes => true,
            Input::Ready if core.is_full() => true,
            // What a snapshot only gives by its position counts as folded when it was read again.
            Input::Ready => core.ready_from(*partition) >= *end,
            _ => core.offsets().next(*input, *partition) >= *end,
        })
    }

    /// Whether all of it is folded, what ended before the election too.
    pub fn are_folded(&self, core: &Core) -> bool {
        let mut outcomes = self.0.iter().filter(|(input, ..)| *input == Input::Outcomes);
        self.work_is_folded(core)
            && outcomes.all(|(input, partition, end)| core.offsets().next(*input, *partition) >= *end)
    }
}
