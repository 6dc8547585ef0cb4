//! What must be folded before a new leader decides.

/// Where each input ended at the election: input, partition, offset.
#[derive(Debug, Clone)]
pub struct Ends<I>(Vec<(I, i32, i64)>);

impl<I> Default for Ends<I> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<I: Copy> Ends<I> {
    /// One partition's end.
    pub fn add(&mut self, input: I, partition: i32, end: i64) {
        self.0.push((input, partition, end));
    }

    /// None lies behind what `high` says of its partition.
    pub fn cut(&mut self, high: impl Fn(I, i32) -> i64) {
        for (input, partition, end) in &mut self.0 {
            *end = (*end).min(high(*input, *partition));
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (I, i32, i64)> {
        self.0.iter().copied()
    }
}
