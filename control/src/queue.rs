//! A listener's queue, the same for both seams: bounded in messages and in bytes, the newest is lost, and the listener is told where.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::{Delivery, Message};

pub(crate) struct Queue {
    backlog: Mutex<Backlog>,
    news: Notify,
    most: Most,
}

/// The most that waits for one listener. One message always fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
struct Backlog {
    deliveries: VecDeque<Delivery<Message>>,
    messages: usize,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(most: Most) -> Self {
        Self {
            backlog: Mutex::default(),
            news: Notify::new(),
            most,
        }
    }

    /// Hands a message over; if the listener is too far behind, it is lost.
    pub(crate) fn push(&self, message: Message) {
        let mut backlog = self.backlog.lock();
        if backlog.closed {
            return;
        }
        let (messages, bytes) = (backlog.messages + 1, backlog.bytes + size(&message));
        if backlog.messages == 0 || (messages <= self.most.messages && bytes <= self.most.bytes) {
            (backlog.messages, backlog.bytes) = (messages, bytes);
            backlog.deliveries.push_back(Delivery::Message(message));
        } else {
            mark_lost(&mut backlog);
        }
        drop(backlog);
        self.news.notify_one();
    }

    /// Tells the listener that something may be missing here.
    pub(crate) fn lose(&self) {
        mark_lost(&mut self.backlog.lock());
        self.news.notify_one();
    }

    /// Nothing comes any more; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.backlog.lock().closed = true;
        self.news.notify_one();
    }

    /// The next delivery; for one listener. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&self) -> Option<Delivery<Message>> {
        loop {
            {
                let mut backlog = self.backlog.lock();
                if let Some(delivery) = backlog.deliveries.pop_front() {
                    if let Delivery::Message(message) = &delivery {
                        backlog.messages -= 1;
                        backlog.bytes -= size(message);
                    }
                    return Some(delivery);
                }
                if backlog.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }
}

fn size(message: &Message) -> usize {
    message.subject.len() + message.payload.footprint()
}

/// One mark for any number of losses in a row, so marks are bounded too.
fn mark_lost(backlog: &mut Backlog) {
    if !matches!(backlog.deliveries.back(), Some(Delivery::Lost)) {
        backlog.deliveries.push_back(Delivery::Lost);
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn message(payload: usize) -> Message {
        Message {
            subject: "s".to_owned(),
            payload: vec![0; payload].into(),
            answer_to: None,
        }
    }

    async fn told(queue: &Queue) -> Option<usize> {
        match queue.next().await.expect("it is open") {
            Delivery::Message(message) => Some(message.payload.len()),
            Delivery::Lost => None,
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_and_the_listener_is_told_where_something_is_missing() {
        let queue = Queue::new(Most {
            messages: 10,
            bytes: 100,
        });
        for payload in [40, 40, 40, 10] {
            queue.push(message(payload));
        }
        let mut first = Vec::new();
        for _ in 0..4 {
            first.push(told(&queue).await);
        }
        assert_eq!(first, [Some(40), Some(40), None, Some(10)]);
        for payload in [500, 1] {
            queue.push(message(payload));
        }
        assert_eq!([told(&queue).await, told(&queue).await], [Some(500), None]);
        queue.push(message(99));
        assert_eq!(told(&queue).await, Some(99), "what was taken takes no room");
    }
}
