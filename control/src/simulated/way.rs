//! The way to one listener: what is on it, and what has arrived at its end.

use std::task::Poll;
use std::time::Instant;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::faults::Fate;
use super::held::Held;
use crate::api::{Delivery, Message};
use crate::in_process::subjects::Member;

pub(super) struct Way {
    /// With the queue of what has arrived.
    pub(super) member: Member,
    held: Mutex<Held<Message>>,
    news: Notify,
}

impl Way {
    pub(super) fn new(member: Member) -> Self {
        Self {
            member,
            held: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// A message of `sender` is on its way from now on.
    pub(super) fn send(&self, sender: &str, message: Message, fate: Fate, now: Instant) {
        self.held.lock().send(sender, message, fate, now);
        self.arrive(now);
        self.news.notify_one();
    }

    /// What is due has arrived. Says when the next one is.
    pub(super) fn arrive(&self, now: Instant) -> Option<Instant> {
        let mut held = self.held.lock();
        while let Some(delivery) = held.take(now) {
            match delivery {
                Delivery::Message(message) => self.member.queue.push(message),
                Delivery::Lost => self.member.queue.lose(),
            }
        }
        held.next_due()
    }

    /// What has not arrived by now never does.
    pub(super) fn cut(&self, now: Instant) {
        self.arrive(now);
        *self.held.lock() = Held::default();
    }

    /// Tells the listener that something may be missing here.
    pub(super) fn lose(&self) {
        self.member.queue.lose();
        self.news.notify_one();
    }

    /// Nothing comes any more; what has arrived is still handed out.
    pub(super) fn close(&self) {
        self.member.queue.close();
        self.news.notify_one();
    }

    /// What arrived first, or the end, if there is either yet.
    pub(super) fn take(&self) -> Poll<Option<Delivery<Message>>> {
        let taken = self.member.queue.next().now_or_never();
        taken.map_or(Poll::Pending, Poll::Ready)
    }

    /// Returns once there may be more to take or to wait for. For one listener.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}
