//! A member of a group, as its process sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use relay_clock::LifeState;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::commits;
use super::faults::Happened;
use super::process::{Delivery, Process};
use super::seat::Seat;
use super::session;
use super::world::Risen;
use crate::{Bus, BusError, Commit, Consumer, ConsumerEvent, Partition};

pub(super) struct ProcessConsumer {
    process: Arc<Process>,
    group: String,
    topics: Vec<String>,
    seat: Arc<Seat>,
    watch: AbortHandle,
    /// What it was told is its own.
    owned: BTreeSet<Partition>,
    delivery: Delivery,
}

impl ProcessConsumer {
    pub(super) async fn join(
        process: &Arc<Process>,
        group: &str,
        topics: &[String],
        risen: &Risen,
    ) -> Result<Self, BusError> {
        let (seat, watch) = sit(process, group, topics, risen).await?;
        Ok(Self {
            process: Arc::clone(process),
            group: group.to_owned(),
            topics: topics.to_vec(),
            seat,
            watch,
            owned: BTreeSet::new(),
            delivery: Delivery::default(),
        })
    }

    /// The next event of its seat; nothing where it is not to be had now.
    async fn look(&mut self) -> Option<Result<ConsumerEvent, BusError>> {
        let mut borrowed = self.seat.borrow()?;
        let event = tokio::select! {
            biased;
            () = self.process.hindered() => None,
            () = self.seat.loss() => None,
            event = borrowed.consumer().next() => Some(event),
        };
        drop(borrowed);
        let event = event?;
        if event.is_err() && self.process.world.has_fallen(self.seat.rise) {
            self.seat.lose();
            return None;
        }
        Some(event.map(|event| self.told(event)))
    }

    /// Notes what the member is told.
    fn told(&mut self, event: ConsumerEvent) -> ConsumerEvent {
        self.delivery = Delivery::default();
        if let ConsumerEvent::Revoked(partitions) = &event {
            // A client that gives partitions up commits before what it has finished of them.
            let _ = commits::arrive(&self.process).now_or_never();
            self.owned.retain(|partition| !partitions.contains(partition));
        }
        self.seat.follow(&event);
        match event {
            ConsumerEvent::Assigned(partitions) => {
                self.owned.extend(partitions.iter().cloned());
                ConsumerEvent::Assigned(partitions)
            }
            ConsumerEvent::Records(records) => ConsumerEvent::Records(self.process.travelled(records)),
            revoked @ ConsumerEvent::Revoked(_) => revoked,
        }
    }

    /// Its seat says nothing of the process's places any more.
    fn stand_up(&self) {
        self.watch.abort();
        self.seat.lose();
        if let Some(seats) = self.process.seats.lock().get_mut(&self.group) {
            seats.retain(|seat| !std::ptr::eq(seat.as_ptr(), Arc::as_ptr(&self.seat)));
        }
    }

    /// Whether its seat is of this rise of the log and was not lost.
    fn sits(&self, risen: &Risen) -> bool {
        risen.rise == self.seat.rise && !self.seat.is_lost()
    }

    async fn set_paused(&mut self, partitions: &[Partition], paused: bool) -> Result<(), BusError> {
        self.process.act().await;
        let Some(mut borrowed) = self.seat.borrow() else {
            return Ok(());
        };
        if paused {
            borrowed.consumer().pause(partitions).await
        } else {
            borrowed.consumer().resume(partitions).await
        }
    }
}

async fn sit(
    process: &Arc<Process>,
    group: &str,
    topics: &[String],
    risen: &Risen,
) -> Result<(Arc<Seat>, AbortHandle), BusError> {
    let consumer = risen.bus.subscribe(group, topics).await?;
    let seat = Arc::new(Seat::new(consumer, risen.rise));
    let mut seats = process.seats.lock();
    let seats = seats.entry(group.to_owned()).or_default();
    seats.retain(|seat| seat.strong_count() > 0);
    seats.push(Arc::downgrade(&seat));
    let watch = tokio::spawn(session::watch(Arc::clone(process), Arc::clone(&seat)));
    Ok((seat, watch.abort_handle()))
}

#[async_trait]
impl Consumer for ProcessConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        loop {
            self.process.connected().await;
            self.delivery.wait(&self.process).await;
            let risen = self.process.connected().await;
            if !self.sits(&risen) {
                if !self.owned.is_empty() {
                    let gone = std::mem::take(&mut self.owned);
                    return Ok(ConsumerEvent::Revoked(gone.into_iter().collect()));
                }
                self.stand_up();
                let seat = sit(&self.process, &self.group, &self.topics, &risen).await;
                (self.seat, self.watch) = self.process.told(risen.rise, seat)?;
            }
            let world = &self.process.world;
            if !self.owned.is_empty() && world.chance(world.faults().place_lost) {
                world.count(Happened::PlaceLost);
                self.seat.lose();
                continue;
            }
            if let Some(event) = self.look().await {
                return self.process.told(self.seat.rise, event);
            }
        }
    }

    fn places(&self) -> BTreeMap<Partition, i64> {
        self.seat.with(|consumer| consumer.places()).unwrap_or_default()
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.set_paused(partitions, true).await
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.set_paused(partitions, false).await
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), BusError> {
        if !self.process.is_far() {
            return self.process.publish(Vec::new(), commits).await.map(|_| ());
        }
        self.process.reach().await?;
        self.process.commits.lock().extend(commits);
        commits::arrive(&self.process).await?;
        self.process.pause(self.process.world.delay()).await;
        Ok(())
    }

    async fn leave(self: Box<Self>) -> Result<(), BusError> {
        self.process.act().await;
        drop(self);
        Ok(())
    }
}

impl Drop for ProcessConsumer {
    fn drop(&mut self) {
        let speaks = [&*self.process.life, &self.process.line];
        let speaks = speaks.iter().all(|life| life.state() == LifeState::Alive);
        if speaks || !self.process.is_far() {
            let _ = commits::arrive(&self.process).now_or_never();
            self.stand_up();
        } else if let Ok(runtime) = Handle::try_current() {
            let (process, seat) = (Arc::clone(&self.process), Arc::clone(&self.seat));
            runtime.spawn(session::outlive(process, seat));
        }
    }
}
