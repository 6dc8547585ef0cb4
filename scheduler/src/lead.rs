//! Leading: folds the log and the control seam into the core, and does what the core wants done.
//!
//! Nothing is decided before what a predecessor dispatched is known, and nothing while this leader cannot read its own
//! heartbeats. The loop waits for events only; publishing, asking and reading are tasks of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_bus::BusError;
use relay_control::{send, subjects};
use relay_schemas::{SchedulerRecordKind as Kind, SchedulerSnapshot, TimestampMs};

use crate::core::{Attempt, Core, Effect, Ends, Input};
use crate::doubt;
use crate::error::Error;
use crate::inputs::Folder;
use crate::outbox::Outbox;
use crate::pool::{Ended, Event, Pool, Shared, sleep_until};
use crate::publisher::{Ending, work_record};
use crate::recover::{self, Inputs};

/// Most batches taken in before what follows from them is done.
const ROUND: usize = 16;

/// Leads until deposed or drained.
pub(crate) async fn lead(
    pool: &mut Pool,
    epoch: i64,
    snapshot: Option<SchedulerSnapshot>,
) -> Result<Ended, Error> {
    pool.shared.metrics.lock().start_over();
    let began = Instant::now();
    let mut outbox = Outbox::start(&pool.shared);
    let (core, inputs, ends) = recover::open(&pool.shared, snapshot.as_ref()).await?;
    let mut leader = Leader {
        folder: Folder::new(pool.shared.clone()),
        shared: pool.shared.clone(),
        core,
        inputs,
        ends: Some(ends),
        epoch,
        settling: Vec::new(),
        next_beat: TimestampMs(0),
        snapshot_at: TimestampMs(0),
        snapshot_changes: 0,
        busy: false,
        began,
    };
    loop {
        if let Some(ended) = leader.turn(pool, &mut outbox).await? {
            if matches!(ended, Ended::Drained) {
                leader.resign(pool, outbox).await;
            }
            return Ok(ended);
        }
    }
}

/// Doubted leases, and the ends of the partitions of outcomes that must be folded before they count as lost.
type Settling = (Vec<Attempt>, Vec<(i32, i64)>);

struct Leader {
    shared: Arc<Shared>,
    core: Core,
    inputs: Inputs,
    folder: Folder,
    /// While it recovers: where the inputs ended at the election.
    ends: Option<Ends>,
    epoch: i64,
    /// Doubted leases, and where outcomes must be folded to before they count as lost.
    settling: Vec<Settling>,
    next_beat: TimestampMs,
    snapshot_at: TimestampMs,
    snapshot_changes: u64,
    /// More could be dispatched than one round takes.
    busy: bool,
    began: Instant,
}

impl Leader {
    /// Waits for something to happen, and does what follows from it.
    async fn turn(&mut self, pool: &mut Pool, outbox: &mut Outbox) -> Result<Option<Ended>, Error> {
        self.beat(outbox);
        outbox.reap();
        let now = TimestampMs::now();
        // Who may not act has nothing to do in time but to beat.
        let acting = self.ends.is_none() && pool.leadership.may_act(now);
        let due = [self.core.next_wakeup(), self.busy.then_some(now)]
            .into_iter()
            .flatten()
            .min();
        let wake = due
            .filter(|_| acting)
            .map_or(self.next_beat, |due| due.min(self.next_beat));
        let outcomes_next = self
            .ends
            .as_ref()
            .is_none_or(|ends| ends.work_is_folded(&self.core));
        let shared = self.shared.clone();
        let backlog = outbox.backlog();
        let reads = !backlog.is_full();
        tokio::select! {
            biased;
            () = shared.runtime.shutdown.draining() => return Ok(Some(Ended::Drained)),
            records = pool.log.next() => pool.observe(&records?),
            Some(event) = pool.events.recv() => self.hear(event)?,
            records = self.inputs.outcomes.next(), if reads && outcomes_next => self.fold(Input::Outcomes, &records?).await?,
            records = self.inputs.work.next(), if reads => self.fold(Input::WorkShort, &records?).await?,
            records = self.inputs.ready.next(), if reads && !self.core.is_full() => self.fold(Input::Ready, &records?).await?,
            () = backlog.shrinks(), if !reads => {}
            failed = outbox.failed() => return Err(failed),
            () = sleep_until(Some(wake), now) => {}
        }
        self.take_in_the_rest(pool, reads, outcomes_next).await?;
        if !pool.leadership.leads() || pool.leadership.epoch() != self.epoch {
            return Ok(Some(Ended::Deposed));
        }
        self.recovered();
        self.decide(pool, outbox);
        Ok(None)
    }

    /// Takes in what came meanwhile, so that one publish carries many.
    async fn take_in_the_rest(
        &mut self,
        pool: &mut Pool,
        reads: bool,
        outcomes_next: bool,
    ) -> Result<(), Error> {
        for _ in 0..ROUND {
            let mut idle = true;
            if let Some(records) = pool.log.try_next() {
                pool.observe(&records?);
                idle = false;
            }
            while let Ok(event) = pool.events.try_recv() {
                self.hear(event)?;
                idle = false;
            }
            if reads
                && outcomes_next
                && let Some(records) = self.inputs.outcomes.try_next()
            {
                self.fold(Input::Outcomes, &records?).await?;
                idle = false;
            }
            if reads && let Some(records) = self.inputs.work.try_next() {
                self.fold(Input::WorkShort, &records?).await?;
                idle = false;
            }
            if reads
                && !self.core.is_full()
                && let Some(records) = self.inputs.ready.try_next()
            {
                self.fold(Input::Ready, &records?).await?;
                idle = false;
            }
            if idle {
                break;
            }
        }
        Ok(())
    }

    async fn fold(&mut self, input: Input, records: &[relay_bus::Record]) -> Result<(), BusError> {
        for record in records {
            match input {
                Input::Ready => self.folder.ready(&mut self.core, record).await?,
                Input::WorkShort | Input::WorkLong => self.folder.work(&mut self.core, record).await?,
                Input::Outcomes => self.folder.outcome(&mut self.core, record).await?,
            }
        }
        if input == Input::Outcomes {
            self.settle();
        }
        Ok(())
    }

    fn hear(&mut self, event: Event) -> Result<(), Error> {
        let now = TimestampMs::now();
        match event {
            Event::Status(status) => self.core.status(&status, now),
            Event::Cancel(cancel) => self.core.cancel(&cancel, now),
            Event::Dispatched(attempts) => attempts
                .iter()
                .for_each(|attempt| self.core.dispatched(attempt, now)),
            Event::Undispatchable(attempt, reason) => {
                tracing::error!(request.id = %attempt.request_id, reason, "work does not fit into its topic; its request fails");
                self.core
                    .undispatchable(&attempt, "the request is too large for its pool", now);
            }
            Event::OutcomesEnd(doubts, ends) => {
                self.settling.push((doubts, ends));
                self.settle();
            }
            Event::Fenced(attempt, answer) => self.core.fence_answer(&attempt, answer, now),
            Event::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Tells the core of doubts whose outcomes are folded to their end.
    fn settle(&mut self) {
        let now = TimestampMs::now();
        let Self { settling, core, .. } = self;
        settling.retain(|(doubts, ends)| {
            let folded = ends
                .iter()
                .all(|(partition, end)| core.offsets().next(Input::Outcomes, *partition) >= *end);
            if folded {
                core.settled(doubts, now);
            }
            !folded
        });
    }

    /// Begins to decide once all that a predecessor did is known.
    fn recovered(&mut self) {
        let known = |ends: &Ends| ends.are_folded(&self.core);
        if !self.ends.as_ref().is_some_and(known) {
            return;
        }
        self.ends = None;
        self.core.lead(self.epoch, TimestampMs::now());
        let took = self.began.elapsed();
        let counts = self.core.counts();
        let metrics = self.shared.metrics.lock();
        metrics.takeovers.inc();
        metrics.takeover_seconds.observe(took.as_secs_f64());
        tracing::info!(
            pool = self.shared.pool,
            scheduler.epoch = self.epoch,
            queue.waiting = counts.waiting_short + counts.waiting_long + counts.waiting_batch,
            queue.running = counts.running,
            takeover_ms = took.as_millis() as u64,
            "the queues are rebuilt"
        );
    }

    /// Lets the core decide and does what it wants, if this leader may act now.
    fn decide(&mut self, pool: &mut Pool, outbox: &mut Outbox) {
        let now = TimestampMs::now();
        self.busy = false;
        if self.ends.is_some() || !pool.leadership.may_act(now) {
            return;
        }
        for ending in self.folder.garbage.drain(..).chain(pool.garbage.drain(..)) {
            outbox.end(ending);
        }
        self.core.tick(now);
        let began = Instant::now();
        self.busy = self.core.dispatch(now);
        let took = began.elapsed();
        let effects = self.core.effects();
        let dispatched = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Dispatch(_)))
            .count();
        if dispatched > 0 {
            let metrics = self.shared.metrics.lock();
            metrics.decision.observe(took.as_secs_f64() / dispatched as f64);
        }
        for effect in effects {
            self.perform(effect, outbox);
        }
    }

    fn perform(&mut self, effect: Effect, outbox: &mut Outbox) {
        match effect {
            Effect::Dispatch(dispatch) => {
                self.shared.metrics.lock().dispatched(&dispatch.work.queueing);
                let attempt = Attempt {
                    request_id: dispatch.work.request.request_id.clone(),
                    attempt: dispatch.work.lease.attempt,
                };
                outbox.work(attempt, work_record(&dispatch));
            }
            Effect::End(outcome, trace) => {
                self.shared.metrics.lock().ended(outcome.code.as_deref());
                outbox.end(Ending::Outcome(outcome, trace));
            }
            Effect::Settle(doubts) => {
                tracing::warn!(
                    pool = self.shared.pool,
                    leases = doubts.len(),
                    "leases that no worker shows are in doubt"
                );
                outbox.spawn(doubt::settle(self.shared.clone(), doubts));
            }
            Effect::AskFence { attempt, reply_to } => {
                outbox.spawn(doubt::fence(self.shared.clone(), attempt, reply_to));
            }
            Effect::PoolStatus(status) => {
                self.shared
                    .metrics
                    .lock()
                    .show(&self.core, outbox.backlog().bytes());
                let shared = self.shared.clone();
                outbox.spawn(async move {
                    let subject = subjects::pool_status(&shared.pool);
                    if let Err(error) = send(&*shared.control, &subject, &status).await {
                        tracing::debug!(pool = shared.pool, %error, "the pool's status could not be sent; the next one says it all");
                    }
                });
            }
        }
    }

    /// Appends a heartbeat when one is due, or a snapshot in its place.
    fn beat(&mut self, outbox: &mut Outbox) {
        let now = TimestampMs::now();
        if now < self.next_beat {
            return;
        }
        self.next_beat = now.plus_ms(self.shared.config.heartbeat_ms as i64);
        if !outbox.can_write() {
            return;
        }
        let snapshot = self.snapshot_due(now, outbox).then(|| self.core.snapshot());
        let kind = if snapshot.is_some() {
            Kind::Snapshot
        } else {
            Kind::Heartbeat
        };
        if snapshot.is_some() {
            self.snapshot_at = now;
            self.snapshot_changes = self.core.counts().changes;
        }
        outbox.write(self.shared.line(kind, self.epoch, snapshot, now));
    }

    /// A snapshot must not be ahead of what is published: dead letters are in no topic that recovery folds.
    fn snapshot_due(&self, now: TimestampMs, outbox: &Outbox) -> bool {
        let changes = self.core.counts().changes - self.snapshot_changes;
        let config = &self.shared.config;
        let due = changes >= config.snapshot_every_changes
            || (changes > 0 && now.since_ms(self.snapshot_at) >= config.snapshot_every_ms as i64);
        let first = self.snapshot_at == TimestampMs(0);
        self.ends.is_none()
            && self.folder.garbage.is_empty()
            && outbox.backlog().letters_are_published()
            && (due || first)
    }

    /// A clean stop: lets what is on its way arrive, writes down what there is, and makes room for a standby.
    async fn resign(self, pool: &Pool, mut outbox: Outbox) {
        let patience = Duration::from_millis(self.shared.config.drain_ms);
        let mut lines = Vec::new();
        if tokio::time::timeout(patience, outbox.drained()).await.is_err() {
            tracing::warn!(
                pool = self.shared.pool,
                "what was being published is left to the successor"
            );
        }
        let now = TimestampMs::now();
        let recovered =
            self.ends.is_none() && self.folder.garbage.is_empty() && outbox.backlog().letters_are_published();
        if recovered && pool.leadership.may_act(now) {
            lines.push(
                self.shared
                    .line(Kind::Snapshot, self.epoch, Some(self.core.snapshot()), now),
            );
        }
        lines.push(self.shared.line(Kind::Resignation, self.epoch, None, now));
        let published =
            tokio::time::timeout(patience, self.shared.runtime.bus.publish(lines, Vec::new())).await;
        match published {
            Ok(Ok(_)) => tracing::info!(
                pool = self.shared.pool,
                scheduler.epoch = self.epoch,
                "the lead is given up"
            ),
            Ok(Err(error)) => {
                tracing::warn!(pool = self.shared.pool, %error, "the resignation is not in the log; a standby takes over in its time");
            }
            Err(_) => tracing::warn!(
                pool = self.shared.pool,
                "the resignation is not acknowledged; a standby takes over in its time"
            ),
        }
    }
}
