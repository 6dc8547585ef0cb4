//! A listener's queue, the same for both seams: bounded, the newest is lost, and the listener is told where.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::{Delivery, Message};

pub(crate) struct Queue {
    backlog: Mutex<Backlog>,
    news: Notify,
    capacity: usize,
}

#[derive(Default)]
struct Backlog {
    deliveries: VecDeque<Delivery<Message>>,
    messages: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            backlog: Mutex::default(),
            news: Notify::new(),
            capacity: capacity.max(1),
        }
    }

    /// Hands a message over; if the listener is too far behind, it is lost.
    pub(crate) fn push(&self, message: Message) {
        let mut backlog = self.backlog.lock();
        if backlog.closed {
            return;
        }
        if backlog.messages < self.capacity {
            backlog.messages += 1;
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
                    if matches!(delivery, Delivery::Message(_)) {
                        backlog.messages -= 1;
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

/// One mark for any number of losses in a row, so marks are bounded too.
fn mark_lost(backlog: &mut Backlog) {
    if !matches!(backlog.deliveries.back(), Some(Delivery::Lost)) {
        backlog.deliveries.push_back(Delivery::Lost);
    }
}
