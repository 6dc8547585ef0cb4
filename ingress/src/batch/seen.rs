//! Which requests' results were handed out. Bounded: the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use relay_bus::Position;
use relay_schemas::RequestId;

/// The winning outcomes seen last.
#[derive(Debug)]
pub struct Seen {
    most: usize,
    winners: HashMap<RequestId, Position>,
    order: VecDeque<RequestId>,
}

impl Seen {
    /// Remembers `most` requests.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            winners: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether the outcome at `position` is its request's first. The same record read again is still the first.
    pub fn is_winner(&mut self, request: &RequestId, position: &Position) -> bool {
        if let Some(winner) = self.winners.get(request) {
            return winner == position;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.winners.remove(&oldest);
        }
        self.order.push_back(request.clone());
        self.winners.insert(request.clone(), position.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use relay_bus::Partition;

    use super::*;

    fn at(offset: i64) -> Position {
        Position {
            partition: Partition::new("relay.outcomes.v1", 0),
            offset,
        }
    }

    #[test]
    fn only_the_first_outcome_of_a_request_wins_however_often_it_is_read() {
        let mut seen = Seen::new(10);
        let id = RequestId::new("a");
        assert!(seen.is_winner(&id, &at(3)));
        assert!(!seen.is_winner(&id, &at(5)));
        assert!(seen.is_winner(&id, &at(3)), "the same record, read again");
    }

    #[test]
    fn the_oldest_is_forgotten_so_that_the_memory_is_bounded() {
        let mut seen = Seen::new(2);
        for (offset, id) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(seen.is_winner(&RequestId::new(id), &at(offset as i64)));
        }
        assert_eq!((seen.winners.len(), seen.order.len()), (2, 2));
        assert!(!seen.is_winner(&RequestId::new("c"), &at(9)));
        assert!(seen.is_winner(&RequestId::new("a"), &at(9)), "forgotten");
    }
}
