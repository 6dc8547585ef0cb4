//! What a process has of the log, and what lies between the two.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use relay_clock::{Life, LifeState};
use tokio::time::Sleep;

use super::faults::Happened;
use super::seat::Seat;
use super::world::{Risen, World};
use crate::{Bus, BusError, Commit, Outgoing, Position, Record};

/// How long a call tries to reach a log that is out of reach.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// In the process itself, as the embedded log is: a publish is atomic with its commits, and the process falls with it.
    InProcess,
    /// On brokers, as Kafka is: each partition's records travel by themselves, and commits behind them; whoever is silent for so
    /// long has left its groups.
    Brokers {
        /// Kafka's `session.timeout.ms`.
        session: Duration,
    },
}

/// What a process has of the log.
pub(super) struct Process {
    pub world: Arc<World>,
    pub name: String,
    pub life: Arc<Life>,
    pub column: Column,
    /// Frozen while nothing comes through between the process and its log.
    pub line: Life,
    /// Its places in groups.
    pub seats: Mutex<BTreeMap<String, Vec<Weak<Seat>>>>,
    /// Commits that are on their way.
    pub commits: Mutex<Vec<Commit>>,
    /// Held by the publish that goes to the log in this process now: they go in the order in which they came.
    order: tokio::sync::Mutex<()>,
}

/// The way of what waits for a process, which takes no longer where its wait is dropped and begun again.
#[derive(Default)]
pub(super) struct Delivery(Option<Pin<Box<Sleep>>>);

impl Process {
    pub(super) fn new(world: Arc<World>, name: &str, life: Arc<Life>, column: Column) -> Self {
        Self {
            world,
            name: name.to_owned(),
            life,
            column,
            line: Life::default(),
            seats: Mutex::default(),
            commits: Mutex::default(),
            order: tokio::sync::Mutex::default(),
        }
    }

    /// Waits until the process does as it likes and the log does not stand still.
    pub(super) async fn act(&self) {
        loop {
            self.world.moving.act().await;
            self.life.act().await;
            if self.world.moving.state() == LifeState::Alive {
                return;
            }
        }
    }

    /// Waits for so long, and then until it may act.
    pub(super) async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.act().await;
    }

    /// Waits until the process acts and has a log.
    pub(super) async fn connected(&self) -> Risen {
        loop {
            self.act().await;
            self.line.act().await;
            self.world.up.act().await;
            let acts = [&*self.life, &self.world.moving, &self.line];
            if acts.iter().all(|life| life.state() == LifeState::Alive)
                && let Some(risen) = self.world.risen()
            {
                return risen;
            }
        }
    }

    /// Returns once it is not [`Process::connected`] any more.
    pub(super) async fn hindered(&self) {
        tokio::select! {
            biased;
            () = self.life.stopped() => {}
            () = self.world.moving.stopped() => {}
            () = self.line.stopped() => {}
            () = self.world.up.stopped() => {}
        }
    }

    /// The log, or what a call says that cannot reach it.
    pub(super) async fn reach(&self) -> Result<Risen, BusError> {
        self.act().await;
        match self.reached() {
            Ok(risen) => Ok(risen),
            Err(error) => {
                self.pause(PATIENCE).await;
                self.world.count(Happened::OutOfReach);
                Err(error)
            }
        }
    }

    /// The same, without patience.
    pub(super) fn reached(&self) -> Result<Risen, BusError> {
        let risen = self.world.risen();
        let through = self.line.state() == LifeState::Alive;
        risen
            .filter(|_| through)
            .ok_or_else(|| BusError::Unavailable("the log is out of reach".to_owned()))
    }

    /// What this process is told of an end that the log made at `rise`.
    pub(super) fn told<T>(&self, rise: u64, end: Result<T, BusError>) -> Result<T, BusError> {
        end.map_err(|error| match error {
            _ if self.world.has_fallen(rise) => BusError::Unavailable(format!("the log fell: {error}")),
            BusError::Full(_) | BusError::Failing(_) if self.is_far() => {
                BusError::Unavailable(error.to_string())
            }
            error => error,
        })
    }

    /// Whether the log is another process.
    pub(super) fn is_far(&self) -> bool {
        self.column != Column::InProcess
    }

    /// What is read leaves its value behind where another process wrote it: only bytes travel.
    pub(super) fn travelled(&self, records: Vec<Record>) -> Vec<Record> {
        if !self.is_far() {
            return records;
        }
        let travelled = records.into_iter().map(|record| Record {
            value: record.value.map(|value| value.bytes().clone().into()),
            ..record
        });
        travelled.collect()
    }

    /// Asks the log something.
    pub(super) async fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&Risen) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let risen = self.reach().await?;
        let end = ask(&risen).await;
        self.pause(self.world.delay()).await;
        self.told(risen.rise, end)
    }

    /// Publishes to the log in this process.
    pub(super) async fn publish(
        &self,
        records: Vec<Outgoing>,
        commits: Vec<Commit>,
    ) -> Result<Vec<Position>, BusError> {
        self.act().await;
        let turn = self.order.lock().await;
        self.pause(self.world.delay()).await;
        let faults = self.world.faults();
        if self.world.chance(faults.not_taken) {
            self.world.count(Happened::NotTaken);
            let reason = "chance would have it".to_owned();
            return Err(match self.world.one_of(2) {
                0 => BusError::Full(reason),
                _ => BusError::Failing(reason),
            });
        }
        let risen = self.reached()?;
        // Appended in this turn; whoever waits for the disk waits behind it.
        let mut end = Box::pin(risen.bus.publish(records, commits));
        let first = futures::poll!(&mut end);
        drop(turn);
        let end = match first {
            Poll::Ready(end) => end,
            Poll::Pending => end.await,
        };
        self.acknowledged(self.told(risen.rise, end)).await
    }

    /// What the publisher is told, when that has come back.
    pub(super) async fn acknowledged(
        &self,
        end: Result<Vec<Position>, BusError>,
    ) -> Result<Vec<Position>, BusError> {
        self.pause(self.world.delay()).await;
        if self.reached().is_err() {
            self.reach().await?;
        }
        if end.is_ok() && self.world.chance(self.world.faults().acknowledgement_lost) {
            self.world.count(Happened::AcknowledgementLost);
            let reason = "the acknowledgement was lost, and the result is unknown".to_owned();
            return Err(BusError::Unavailable(reason));
        }
        end
    }
}

impl Delivery {
    pub(super) async fn wait(&mut self, process: &Process) {
        if self.0.is_none() {
            let delay = process.world.delay();
            self.0 = (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep(delay)));
        }
        if let Some(way) = &mut self.0 {
            way.await;
        }
    }
}
