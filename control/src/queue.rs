//! A listener's queue, the same for both seams: bounded, the newest is lost, and the listener is told where.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Event, Message};

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    capacity: usize,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    messages: usize,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            news: Notify::new(),
            capacity: capacity.max(1),
        }
    }

    /// Hands a message over; if the listener is too far behind, it is lost.
    pub(crate) fn push(&self, message: Message) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        if waiting.messages < self.capacity {
            waiting.messages += 1;
            waiting.events.push_back(Event::Message(message));
        } else {
            mark_lost(&mut waiting);
        }
        drop(waiting);
        self.news.notify_one();
    }

    /// Tells the listener that something may be missing here.
    pub(crate) fn lose(&self) {
        mark_lost(&mut self.waiting.lock());
        self.news.notify_one();
    }

    /// Nothing comes any more; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.news.notify_one();
    }

    /// The next event; for one listener. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if let Some(event) = waiting.events.pop_front() {
                    if matches!(event, Event::Message(_)) {
                        waiting.messages -= 1;
                    }
                    return Some(event);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }
}

/// One mark for any number of losses in a row, so marks are bounded too.
fn mark_lost(waiting: &mut Waiting) {
    if !matches!(waiting.events.back(), Some(Event::Lost)) {
        waiting.events.push_back(Event::Lost);
    }
}
