//! A place in a group, which its member may lose without having been told.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Consumer, ConsumerEvent, Partition};

pub(super) struct Seat {
    /// The rise of the log that it belongs to.
    pub rise: u64,
    state: Mutex<State>,
    lost: Notify,
}

struct State {
    /// Nobody's while it is asked something, and after the seat was lost.
    consumer: Option<Box<dyn Consumer>>,
    is_lost: bool,
    owned: BTreeSet<Partition>,
}

/// The consumer of a seat while it is asked something; goes back when this is dropped.
pub(super) struct Borrowed<'a> {
    seat: &'a Seat,
    consumer: Option<Box<dyn Consumer>>,
}

impl Seat {
    pub(super) fn new(consumer: Box<dyn Consumer>, rise: u64) -> Self {
        Self {
            rise,
            state: Mutex::new(State {
                consumer: Some(consumer),
                is_lost: false,
                owned: BTreeSet::new(),
            }),
            lost: Notify::new(),
        }
    }

    /// Nothing once the seat is lost.
    pub(super) fn borrow(&self) -> Option<Borrowed<'_>> {
        let consumer = self.state.lock().consumer.take()?;
        Some(Borrowed {
            seat: self,
            consumer: Some(consumer),
        })
    }

    /// What its consumer tells, unless the seat is lost.
    pub(super) fn with<T>(&self, ask: impl FnOnce(&dyn Consumer) -> T) -> Option<T> {
        self.state.lock().consumer.as_deref().map(ask)
    }

    /// Others take over at once; the member hears of it when it looks.
    pub(super) fn lose(&self) {
        let consumer = {
            let state = &mut *self.state.lock();
            state.is_lost = true;
            state.owned.clear();
            state.consumer.take()
        };
        drop(consumer);
        self.lost.notify_one();
    }

    pub(super) fn is_lost(&self) -> bool {
        self.state.lock().is_lost
    }

    /// Returns once it is lost.
    pub(super) async fn loss(&self) {
        while !self.is_lost() {
            self.lost.notified().await;
        }
    }

    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.state.lock().owned.contains(partition)
    }

    /// Notes what the member is told.
    pub(super) fn follow(&self, event: &ConsumerEvent) {
        let owned = &mut self.state.lock().owned;
        match event {
            ConsumerEvent::Assigned(partitions) => owned.extend(partitions.iter().cloned()),
            ConsumerEvent::Revoked(partitions) => owned.retain(|partition| !partitions.contains(partition)),
            ConsumerEvent::Records(_) => {}
        }
    }
}

impl Borrowed<'_> {
    pub(super) fn consumer(&mut self) -> &mut dyn Consumer {
        &mut **self
            .consumer
            .as_mut()
            .expect("it goes back only when this is dropped")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let mut state = self.seat.state.lock();
        let consumer = self.consumer.take();
        if !state.is_lost {
            state.consumer = consumer;
            return;
        }
        drop(state);
        drop(consumer);
    }
}
