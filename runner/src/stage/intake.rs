//! What comes in: the group membership, the records that wait for their turn, and how far each partition has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use relay_clock::Clock;

use super::error::RunnerError;
use super::options::StageOptions;
use super::progress::Progress;
use crate::backoff::backoff;
use crate::behind::{self, Behind, Found};
use crate::chance::Chance;
use crate::health::Health;
use crate::health::dependency::BUS;
use crate::runtime::Runtime;
use crate::watchdog::Part;
use relay_bus::{Bus, BusError, Consumer, ConsumerEvent, Partition, Record};

/// How long nothing may be wanted before the partitions are paused. Shorter than that it is cheaper just not to ask; longer,
/// and the group would miss our answers to its rebalances.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// How long leaving the group may take; whoever is later is thrown out by the session timeout.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IntakeEvent {
    Records,
    Partitions,
}

/// A member of the stage's group.
pub(super) struct Intake {
    bus: Arc<dyn Bus>,
    clock: Clock,
    chance: Chance,
    health: Health,
    options: Arc<StageOptions>,
    consumer: Box<dyn Consumer>,
    waiting: VecDeque<Record>,
    progress: Progress,
    unwanted_since: Option<Instant>,
    /// Whether what is owned is paused; nothing where some of it may be.
    paused: Option<bool>,
    /// Runs while the bus is away.
    recovery: Option<BoxFuture<'static, ()>>,
    /// Whether reading failed and nothing has come since.
    failed: bool,
    /// Looks every now and then whether there is something that does not come.
    look: Option<BoxFuture<'static, Found>>,
    behind: Behind,
    part: Part,
}

impl Intake {
    /// Joins the group, waiting for the bus and the topics if need be; nothing if the process drains before that.
    pub(super) async fn open(
        runtime: &Runtime,
        options: Arc<StageOptions>,
    ) -> Result<Option<Self>, RunnerError> {
        let mut failures = 0;
        loop {
            match runtime.bus.subscribe(&options.group, &options.topics).await {
                Ok(consumer) => {
                    runtime.health.up(BUS);
                    return Ok(Some(Self::with(consumer, runtime, options)));
                }
                Err(error) if error.may_pass() => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(messaging.group = options.group, %error, "joining the group waits");
                    }
                    runtime.health.down(BUS, error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
            let wait = backoff(
                options.retry_base,
                options.retry_max,
                failures,
                runtime.chance.draw(),
            );
            tokio::select! {
                biased;
                () = runtime.shutdown.draining() => return Ok(None),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn with(consumer: Box<dyn Consumer>, runtime: &Runtime, options: Arc<StageOptions>) -> Self {
        Self {
            bus: runtime.bus.clone(),
            clock: runtime.clock.clone(),
            chance: runtime.chance.clone(),
            health: runtime.health.clone(),
            options,
            consumer,
            waiting: VecDeque::new(),
            progress: Progress::default(),
            unwanted_since: None,
            paused: Some(false),
            recovery: None,
            failed: false,
            look: None,
            behind: Behind::default(),
            part: runtime.watchdog.part(),
        }
    }

    /// Looks after a while what there is to read.
    fn begin_look(&self) -> BoxFuture<'static, Found> {
        let (bus, places) = (Arc::clone(&self.bus), self.consumer.places());
        async move {
            tokio::time::sleep(bus.looks_every()).await;
            behind::look(&*bus, &places).await
        }
        .boxed()
    }

    fn take_look(&mut self, found: Found) -> Result<(), BusError> {
        match self.behind.take(found, &self.consumer.places())? {
            Some(what) => {
                let group = &self.options.group;
                self.part
                    .stands_still(format!("group {group} stands still: {what}"), &self.clock);
            }
            None if self.behind.moves() => self.part.moves(),
            None => {}
        }
        Ok(())
    }

    /// Takes in what comes next. While nothing is `wanted`, only changes of partitions are listened for, and only after a
    /// while. May be dropped and called again at any time.
    pub(super) async fn next(&mut self, wanted: bool) -> Result<IntakeEvent, RunnerError> {
        loop {
            if let Err(error) = self.steer(wanted).await {
                self.on_error(error).await?;
                continue;
            }
            // Listened to even while it is away: a group's member that does not answer is thrown out.
            let heard = tokio::select! {
                // What is always there, a full log, comes last.
                biased;
                () = recovered(&mut self.recovery) => {
                    self.recovery = None;
                    continue;
                }
                look = looked(&mut self.look) => {
                    self.look = None;
                    self.take_look(look)?;
                    continue;
                }
                heard = self.consumer.next() => heard,
            };
            match heard {
                Ok(event) => {
                    if std::mem::take(&mut self.failed) {
                        self.health.up(BUS);
                    }
                    return Ok(self.take_in(event));
                }
                Err(error) => self.on_error(error).await?,
            }
        }
    }

    async fn steer(&mut self, wanted: bool) -> Result<(), BusError> {
        if wanted {
            self.unwanted_since = None;
            if self.look.is_none() && self.recovery.is_none() {
                self.look = Some(self.begin_look());
            }
            if self.paused != Some(false) {
                self.consumer.resume(&self.progress.owned()).await?;
                self.paused = Some(false);
            }
        } else if self.paused != Some(true) {
            let since = *self.unwanted_since.get_or_insert_with(|| self.clock.instant());
            tokio::time::sleep(PAUSE_AFTER.saturating_sub(self.clock.since(since))).await;
            // What is not asked for is not late.
            self.look = None;
            self.behind = Behind::default();
            self.part.moves();
            self.consumer.pause(&self.progress.owned()).await?;
            self.paused = Some(true);
        }
        Ok(())
    }

    fn take_in(&mut self, event: ConsumerEvent) -> IntakeEvent {
        match event {
            ConsumerEvent::Records(records) => {
                for record in &records {
                    self.behind.came(&record.position.partition);
                }
                if self.behind.moves() {
                    self.part.moves();
                }
                self.waiting.extend(records);
                return IntakeEvent::Records;
            }
            ConsumerEvent::Assigned(partitions) => {
                for partition in partitions {
                    self.progress.own(partition);
                }
                // The look under way knows nothing of them.
                self.look = None;
                // The new ones flow, and the others may not: the next call does all of them again, whichever is wanted by then.
                if self.paused == Some(true) {
                    self.paused = None;
                }
            }
            ConsumerEvent::Revoked(partitions) => {
                for partition in &partitions {
                    self.progress.lose(partition);
                }
                self.waiting
                    .retain(|record| self.progress.owns(&record.position.partition));
            }
        }
        IntakeEvent::Partitions
    }

    /// Waits for what can be waited for, by a probe that runs beside everything else.
    async fn on_error(&mut self, error: BusError) -> Result<(), RunnerError> {
        if !error.may_pass() {
            return Err(error.into());
        }
        self.failed = true;
        self.look = None;
        self.behind.forget();
        if self.recovery.is_none() {
            tracing::warn!(messaging.group = self.options.group, %error, "reading waits");
            self.recovery = Some(self.recovery(error).boxed());
        }
        tokio::time::sleep(self.options.retry_base).await;
        Ok(())
    }

    /// Completes when the bus answers again.
    fn recovery(&self, error: BusError) -> impl Future<Output = ()> + Send + use<> {
        let (bus, health, options) = (self.bus.clone(), self.health.clone(), self.options.clone());
        let chance = self.chance.clone();
        health.down(BUS, error.to_string());
        async move {
            for failures in 1.. {
                let wait = backoff(options.retry_base, options.retry_max, failures, chance.draw());
                tokio::time::sleep(wait).await;
                match bus.probe().await {
                    Ok(()) => break,
                    Err(error) => health.down(BUS, error.to_string()),
                }
            }
            if !matches!(error, BusError::UnknownTopic(_)) {
                tracing::info!(messaging.group = options.group, "the bus answers again");
                health.up(BUS);
            }
        }
    }

    /// The next record to begin with.
    pub(super) fn take(&mut self) -> Option<Record> {
        let record = self.waiting.pop_front()?;
        self.progress
            .take(&record.position.partition, record.position.offset);
        Some(record)
    }

    /// Whether no record waits for its turn.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what waits: whoever reads next finds it uncommitted.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.unwanted_since = self.clock.instant().checked_sub(PAUSE_AFTER);
    }

    /// The partitions, and how far each has come.
    pub(super) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// All that is owned.
    pub(super) fn owned(&self) -> Vec<Partition> {
        self.progress.owned()
    }

    /// Leaves the group.
    pub(super) async fn leave(self) {
        let left = tokio::time::timeout(LEAVE_WITHIN, self.consumer.leave()).await;
        let reason = match left {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(
            messaging.group = self.options.group,
            reason,
            "the group was not left in order"
        );
    }
}

async fn looked(look: &mut Option<BoxFuture<'static, Found>>) -> Found {
    match look {
        Some(look) => look.await,
        None => pending().await,
    }
}

async fn recovered(recovery: &mut Option<BoxFuture<'static, ()>>) {
    match recovery {
        Some(recovery) => recovery.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
