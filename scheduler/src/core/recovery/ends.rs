//! What must be folded before a new leader decides.

use super::offsets::Input;

/// Where each input ended at the election: input, partition, offset.
#[derive(Debug, Clone, Default)]
pub struct Ends(Vec<(Input, i32, i64)>);

impl Ends {
    /// One partition's end.
    pub fn add(&mut self, input: Input, partition: i32, end: i64) {
        self.0.push((input, partition, end));
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Input, i32, i64)> {
        self.0.iter().copied()
    }
}
