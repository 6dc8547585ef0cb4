//! How far each input is folded.

use std::collections::BTreeMap;

/// Where a record lies in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// The first offset not folded, of each partition of each input.
#[derive(Debug, Clone)]
pub struct Offsets<I>(BTreeMap<(I, i32), i64>);

impl<I> Default for Offsets<I> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<I: Copy + Ord> Offsets<I> {
    /// Notes that the record at `at` is folded; false if it was before.
    pub fn fold(&mut self, input: I, at: At) -> bool {
        let next = self.0.entry((input, at.partition)).or_insert(0);
        let new = at.offset >= *next;
        *next = (*next).max(at.offset + 1);
        new
    }

    /// Sets it, from a snapshot.
    pub fn set(&mut self, input: I, partition: i32, next: i64) {
        self.0.insert((input, partition), next);
    }

    /// The first offset that is not folded.
    pub fn next(&self, input: I, partition: i32) -> i64 {
        self.0.get(&(input, partition)).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (I, i32, i64)> {
        self.0
            .iter()
            .map(|((input, partition), next)| (*input, *partition, *next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Input {
        Ready,
        Outcomes,
    }

    #[test]
    fn a_record_is_new_once_and_what_lies_before_it_never_again() {
        let mut offsets = Offsets::default();
        let at = |offset| At { partition: 2, offset };
        let folded = [3, 3, 2, 4].map(|offset| offsets.fold(Input::Ready, at(offset)));
        assert_eq!(folded, [true, false, false, true]);
        assert_eq!(offsets.next(Input::Ready, 2), 5);
        assert_eq!(offsets.next(Input::Ready, 1), 0, "each partition has its own");
        assert_eq!(offsets.next(Input::Outcomes, 2), 0, "and each input");
    }
}
