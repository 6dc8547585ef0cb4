//! The loop: takes records in, lets the stage decide about many at once, publishes what is settled, does the effects.
//!
//! One publish is under way at a time; what settles meanwhile goes into the next. That batches by itself, keeps the commits
//! in order, and lets a bus put a record's outputs and its commit into one atomic step. After a partition was lost, what
//! still runs there is finished and published (a worker alone may run what was leased to it, and duplicates are allowed)
//! but not committed.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, pending};
use relay_bus::{BusError, Record};
use tokio::task::JoinSet;

use super::attempt::{Attempts, Settled};
use super::contract::Stage;
use super::error::RunnerError;
use super::intake::{Intake, IntakeEvent};
use super::publisher::{Parcel, Publisher};
use super::recall::{Recalled, recall};
use crate::shutdown::Shutdown;

/// A stage at work.
pub(super) struct Host<S: Stage> {
    intake: Intake,
    attempts: Arc<Attempts<S>>,
    publisher: Arc<Publisher<S>>,
    shutdown: Shutdown,
    running: JoinSet<Settled<S::Effect>>,
    settled: Vec<Parcel<S::Effect>>,
    publishing: Option<BoxFuture<'static, Result<Delivered<S::Effect>, RunnerError>>>,
    effects: JoinSet<usize>,
    recalling: Option<BoxFuture<'static, Result<Recalled, BusError>>>,
    /// Records begun and not yet wholly done, effects included.
    begun: usize,
}

struct Delivered<E> {
    records: usize,
    effects: Vec<E>,
}

impl<S: Stage> Host<S> {
    pub(super) fn new(
        intake: Intake,
        attempts: Attempts<S>,
        publisher: Publisher<S>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            intake,
            attempts: Arc::new(attempts),
            publisher: Arc::new(publisher),
            shutdown,
            running: JoinSet::new(),
            settled: Vec::new(),
            publishing: None,
            effects: JoinSet::new(),
            recalling: None,
            begun: 0,
        }
    }

    /// Works until a drain is over or something fatal happens, then leaves the group.
    pub(super) async fn run(mut self) -> Result<(), RunnerError> {
        let result = self.work().await;
        if self.begun > 0 {
            self.shutdown.cut(self.begun);
            tracing::warn!(
                records = self.begun,
                "records are left unfinished; they will be read again"
            );
        }
        self.intake.leave().await;
        result
    }

    async fn work(&mut self) -> Result<(), RunnerError> {
        let shutdown = self.shutdown.clone();
        let mut draining = pin!(shutdown.draining());
        let mut stopped = pin!(shutdown.stopped());
        let mut outages = self.attempts.outages.watch();
        let mut drained = false;
        loop {
            // Asked, not only awaited: what came in at the moment of the drain is not begun.
            if !drained && shutdown.is_draining() {
                drained = true;
                self.intake.forget_waiting();
            }
            let open = !drained && !self.attempts.outages.any();
            if open {
                self.begin();
            }
            if drained && self.begun == 0 {
                return Ok(());
            }
            let room = self.has_room();
            let wanted = open && self.intake.is_empty() && room;
            self.recalling.get_or_insert_with(|| {
                let Publisher {
                    stage,
                    bus,
                    options,
                    chance,
                    ..
                } = &*self.publisher;
                recall(
                    Arc::clone(stage),
                    Arc::clone(bus),
                    Arc::clone(options),
                    chance.clone(),
                )
                .boxed()
            });
            tokio::select! {
                // What ends work before what brings more; all that has settled leaves in one publish.
                biased;
                () = &mut stopped => return Ok(()),
                () = &mut draining, if !drained => {}
                _ = outages.changed() => {}
                Some(settled) = self.running.join_next() => self.on_settled(settled)?,
                delivered = under_way(&mut self.publishing) => self.on_delivered(delivered?),
                Some(done) = self.effects.join_next() => self.on_done(done.unwrap_or_default()),
                recalled = under_way(&mut self.recalling), if open && self.may_recall() => self.on_recalled(recalled?)?,
                event = self.intake.next(wanted) => self.on_intake(&event?).await,
            }
            self.publish();
        }
    }

    fn has_room(&self) -> bool {
        let options = &self.attempts.options;
        let turn = !options.in_order || self.running.is_empty();
        turn && self.begun < options.max_in_flight
    }

    /// Whether what was put off may come back, also beside a full house: those that are at work may wait for just that. One recall is
    /// the most that goes beyond the limit.
    fn may_recall(&self) -> bool {
        let options = &self.attempts.options;
        let turn = !options.in_order || self.running.is_empty();
        turn && self.begun <= options.max_in_flight
    }

    /// Begins with what waits, as far as there is room.
    fn begin(&mut self) {
        while self.has_room() {
            let Some(record) = self.intake.take() else { break };
            self.attempts.metrics.records_in.inc();
            self.attempts.stage.on_begin(&record);
            self.start(record);
        }
        self.attempts.metrics.in_flight.set(self.begun as i64);
    }

    fn start(&mut self, record: Record) {
        self.begun += 1;
        self.running.spawn(self.attempts.clone().settle(record));
    }

    /// Decides now what was put off before.
    fn on_recalled(&mut self, recalled: Recalled) -> Result<(), RunnerError> {
        self.recalling = None;
        for position in recalled.gone {
            if self.intake.progress().owns(&position.partition) {
                self.begun += 1;
                self.settled.push(self.publisher.pack(Settled::gone(position))?);
            }
        }
        for record in recalled.records {
            if self.intake.progress().owns(&record.position.partition) {
                self.start(record);
            }
        }
        self.attempts.metrics.in_flight.set(self.begun as i64);
        Ok(())
    }

    async fn on_intake(&mut self, event: &IntakeEvent) {
        if *event == IntakeEvent::Partitions {
            let owned = self.intake.owned();
            tracing::info!(
                messaging.group = self.attempts.options.group,
                partitions = owned.len(),
                "the partitions have changed"
            );
            self.attempts.stage.on_partitions(&owned).await;
        }
    }

    /// Packs this record and all others that are settled by now.
    fn on_settled(
        &mut self,
        first: Result<Settled<S::Effect>, tokio::task::JoinError>,
    ) -> Result<(), RunnerError> {
        let mut next = Some(first);
        while let Some(settled) = next {
            // A stage's panic is caught where it happens, so this is the process going down.
            let settled = settled.map_err(|error| RunnerError::Stage(error.to_string()))?;
            if settled.is_put_off() {
                self.on_done(1);
            } else {
                self.settled.push(self.publisher.pack(settled)?);
            }
            next = self.running.try_join_next();
        }
        Ok(())
    }

    /// Starts publishing what is settled, unless a publish is under way.
    fn publish(&mut self) {
        if self.publishing.is_some() || self.settled.is_empty() {
            return;
        }
        let parcels = std::mem::take(&mut self.settled);
        let progress = self.intake.progress();
        for parcel in &parcels {
            let position = parcel.position();
            progress.finish(&position.partition, position.offset);
        }
        // They count as finished from here on, because these commits take effect only with this publish, and the next
        // one starts only after it.
        let commits = progress.commits(&self.publisher.options.group);
        let (publisher, records) = (self.publisher.clone(), parcels.len());
        let publish = async move {
            let effects = publisher.deliver(parcels, commits).await?;
            Ok(Delivered { records, effects })
        };
        self.publishing = Some(publish.boxed());
    }

    fn on_delivered(&mut self, delivered: Delivered<S::Effect>) {
        self.publishing = None;
        let Delivered { records, effects } = delivered;
        if effects.is_empty() {
            self.on_done(records);
            return;
        }
        let stage = self.attempts.stage.clone();
        self.effects.spawn(async move {
            let done = effects.into_iter().map(|effect| do_effect(&*stage, effect));
            join_all(done).await;
            records
        });
    }

    fn on_done(&mut self, records: usize) {
        self.begun -= records;
        self.attempts.metrics.in_flight.set(self.begun as i64);
    }
}

async fn do_effect<S: Stage>(stage: &S, effect: S::Effect) {
    if AssertUnwindSafe(stage.after_ack(effect))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!("the stage panicked in an effect; what it decided stands");
    }
}

async fn under_way<T>(publishing: &mut Option<BoxFuture<'static, T>>) -> T {
    match publishing {
        Some(publish) => publish.await,
        None => pending().await,
    }
}
