//! A bounded memory of requests: what ended, what was cancelled.

use std::collections::{HashMap, VecDeque};

use relay_schemas::RequestId;

/// Remembers the newest `most` requests with a note each.
#[derive(Debug)]
pub struct Memory<T> {
    notes: HashMap<RequestId, T>,
    age: VecDeque<RequestId>,
    most: usize,
}

impl<T> Memory<T> {
    /// An empty memory.
    pub fn new(most: usize) -> Self {
        Self {
            notes: HashMap::new(),
            age: VecDeque::new(),
            most: most.max(1),
        }
    }

    /// Remembers `id`; false if it was known already, and then nothing changes.
    pub fn insert(&mut self, id: &RequestId, note: T) -> bool {
        if self.notes.contains_key(id) {
            return false;
        }
        if self.age.len() == self.most
            && let Some(oldest) = self.age.pop_front()
        {
            self.notes.remove(&oldest);
        }
        self.age.push_back(id.clone());
        self.notes.insert(id.clone(), note);
        true
    }

    /// What was noted of `id`, if it is remembered.
    pub fn get(&self, id: &RequestId) -> Option<&T> {
        self.notes.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut memory = Memory::new(2);
        for id in ["a", "b", "a", "c"] {
            memory.insert(&id.into(), ());
        }
        let known = ["a", "b", "c"].map(|id| memory.get(&id.into()).is_some());
        assert_eq!(known, [false, true, true]);
    }
}
