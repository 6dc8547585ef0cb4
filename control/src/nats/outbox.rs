//! How many bytes wait in the client to be sent. The client bounds only their number, and says how many messages it has taken up. Pure.

use std::collections::VecDeque;

/// What was handed to the client, and what it has not taken up yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Of the messages that wait, the oldest first.
    sizes: VecDeque<usize>,
    bytes: usize,
    /// How many messages were handed over.
    pushed: u64,
}

impl Outbox {
    /// The client was handed a message.
    pub(super) fn push(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
        self.pushed += 1;
    }

    /// Bytes that still wait, where the client has taken up `taken` messages since its start.
    pub(super) fn waiting(&mut self, taken: u64) -> usize {
        let waiting = self.pushed.saturating_sub(taken);
        while self.sizes.len() as u64 > waiting {
            self.bytes -= self.sizes.pop_front().unwrap_or_default();
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_has_taken_up_waits_no_longer() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.waiting(0), 0);
        for size in [10, 200, 3_000] {
            outbox.push(size);
        }
        assert_eq!(
            [0, 1, 2].map(|taken| outbox.waiting(taken)),
            [3_210, 3_200, 3_000]
        );
        assert_eq!(
            outbox.waiting(4),
            0,
            "one is taken up before it is known to be handed over"
        );
        outbox.push(7);
        assert_eq!((outbox.waiting(4), outbox.sizes.len()), (0, 0));
        outbox.push(8);
        assert_eq!(outbox.waiting(4), 8);
    }
}
