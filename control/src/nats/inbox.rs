//! Answers to our questions: one subscription for all, and a place for each that waits.
//!
//! The client's own requests are not used: it remembers every question that was never answered, for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Message;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who waits for which answer.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    numbers: AtomicU64,
}

/// One awaited answer; forgotten when dropped.
pub(super) struct Awaited {
    pub(super) number: u64,
    pub(super) answer: oneshot::Receiver<Message>,
    inbox: Arc<Inbox>,
}

impl Inbox {
    /// A place for one answer.
    pub(super) fn expect(self: &Arc<Self>) -> Awaited {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(number, sender);
        Awaited {
            number,
            answer,
            inbox: Arc::clone(self),
        }
    }

    /// Hands an answer to who waits for it, if anybody still does.
    pub(super) fn arrived(&self, message: Message) {
        let number = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|token| token.parse().ok());
        let waiting = number.and_then(|number: u64| self.waiting.lock().remove(&number));
        if let Some(sender) = waiting {
            drop(sender.send(message));
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.inbox.waiting.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_nobody_waits_for_any_more_is_forgotten() {
        let inbox = Arc::new(Inbox::default());
        let (first, second) = (inbox.expect(), inbox.expect());
        assert_ne!(first.number, second.number);
        assert_eq!(inbox.len(), 2);
        drop(first);
        assert_eq!(inbox.len(), 1);
        drop(second);
        assert_eq!(inbox.len(), 0);
    }
}
