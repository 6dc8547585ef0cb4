//! Leading: reads the log and the control seam into the core, and does what the core wants done.
//!
//! Nothing is decided before what a predecessor dispatched is known, and nothing while this leader cannot read its own
//! heartbeats. The loop waits for events only; publishing, asking and reading are tasks of their own.

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_bus::{BusError, Record};
use relay_runner::{Heartbeat, LeadershipTimes, NoticeKind as Kind, Takeover, Tenure, sleep_until};
use relay_schemas::TimestampMs;
use tokio::sync::mpsc;

use super::context::{Context, Signal};
use super::doubt::Doubts;
use super::garbage::give_up;
use super::outbox::Outbox;
use super::perform::perform;
use super::reader::RecordReader;
use super::recover::{self, Inputs};
use super::seam;
use super::standstill::Standstill;
use crate::core::{Core, Effect, Input};
use crate::error::Error;
use crate::leadership::SchedulerTopic;

/// Which instance leads the pool.
type Election = relay_runner::Election<SchedulerTopic>;

/// Most batches taken in before what follows from them is done.
const ROUND: usize = 16;

/// Leads until deposed or drained.
pub(super) async fn lead(
    context: &Arc<Context>,
    election: &mut Election,
    signals: &mut mpsc::Receiver<Signal>,
) -> Result<Tenure, Error> {
    context.metrics.lock().start_over();
    let began = context.runtime.clock.instant();
    let mut outbox = Outbox::start(context);
    outbox.spawn(seam::watch(context.clone()));
    let (core, inputs, takeover) = recover::open(context, began, election.snapshot()).await?;
    let mut leader = Leader {
        reader: RecordReader::new(context.clone()),
        context: context.clone(),
        core,
        inputs,
        takeover,
        standstill: Standstill::new(context.runtime.health.clone()),
        epoch: election.leadership().epoch(),
        doubts: Doubts::default(),
        times: context.config.leadership.times(),
        heartbeat: Heartbeat::default(),
        busy: false,
        missing: BTreeSet::new(),
    };
    loop {
        match leader.turn(election, signals, &mut outbox).await? {
            None => {}
            Some(ended @ (Tenure::Deposed | Tenure::CutOff)) => return Ok(ended),
            Some(Tenure::Drained) => {
                leader.resign(election, signals, outbox).await;
                return Ok(Tenure::Drained);
            }
        }
    }
}

struct Leader {
    context: Arc<Context>,
    core: Core,
    inputs: Inputs,
    reader: RecordReader,
    takeover: Takeover<Input>,
    standstill: Standstill,
    epoch: i64,
    doubts: Doubts,
    times: LeadershipTimes,
    heartbeat: Heartbeat,
    /// More could be dispatched than one round takes.
    busy: bool,
    /// Topics of other pools that were not there, each told once.
    missing: BTreeSet<String>,
}

/// Which inputs may be read now.
#[derive(Clone, Copy)]
struct Open {
    work: bool,
    outcomes: bool,
}

impl Leader {
    /// Waits for something to happen, and does what follows from it.
    async fn turn(
        &mut self,
        election: &mut Election,
        signals: &mut mpsc::Receiver<Signal>,
        outbox: &mut Outbox,
    ) -> Result<Option<Tenure>, Error> {
        self.beat(election, outbox);
        outbox.reap();
        self.standstill
            .look(&self.context, &self.takeover, &self.core, outbox);
        let now = self.context.now(&mut self.core);
        let wake = self.wake(election, now);
        let backlog = outbox.backlog();
        let open = self.open(!backlog.is_full());
        let context = self.context.clone();
        tokio::select! {
            biased;
            () = context.runtime.shutdown.draining() => return Ok(Some(Tenure::Drained)),
            records = election.next() => election.observe(&records?),
            Some(signal) = signals.recv() => self.take_signal(signal)?,
            records = self.inputs.outcomes.next(), if open.outcomes => self.fold(Input::Outcomes, &records?).await?,
            records = self.inputs.work.next(), if open.work => self.fold(Input::WorkShort, &records?).await?,
            records = self.inputs.ready.next(), if open.work && !self.core.is_full() => self.fold(Input::Ready, &records?).await?,
            () = backlog.shrinks(), if !open.work => {}
            failed = outbox.failed() => return Err(failed.into()),
            () = sleep_until(Some(wake), now) => {}
        }
        self.take_in_the_rest(election, signals, open).await?;
        let leadership = election.leadership();
        if !leadership.leads() || leadership.epoch() != self.epoch {
            return Ok(Some(Tenure::Deposed));
        }
        if election.is_cut_off() {
            return Ok(Some(Tenure::CutOff));
        }
        self.recovered();
        self.decide(election, outbox);
        Ok(None)
    }

    /// When something is due. A leader that may not act has nothing to do in time but to beat.
    fn wake(&self, election: &Election, now: TimestampMs) -> TimestampMs {
        let acting = self.takeover.is_over() && election.leadership().may_act(now);
        let due = [self.core.next_wakeup(), self.busy.then_some(now)];
        let due = due.into_iter().flatten().min().filter(|_| acting);
        let beat = self.heartbeat.due();
        due.map_or(beat, |due| due.min(beat))
    }

    /// While it recovers, outcomes are read after the work that they end.
    fn open(&self, reads: bool) -> Open {
        let ends = self.takeover.ends();
        Open {
            work: reads,
            outcomes: reads && ends.is_none_or(|ends| self.core.has_folded_work(ends)),
        }
    }

    /// Takes in what came meanwhile, so that one publish carries many.
    async fn take_in_the_rest(
        &mut self,
        election: &mut Election,
        signals: &mut mpsc::Receiver<Signal>,
        open: Open,
    ) -> Result<(), Error> {
        for _ in 0..ROUND {
            let mut idle = true;
            if let Some(records) = election.try_next() {
                election.observe(&records?);
                idle = false;
            }
            while let Ok(signal) = signals.try_recv() {
                self.take_signal(signal)?;
                idle = false;
            }
            if open.outcomes
                && let Some(records) = self.inputs.outcomes.try_next()
            {
                self.fold(Input::Outcomes, &records?).await?;
                idle = false;
            }
            if open.work
                && let Some(records) = self.inputs.work.try_next()
            {
                self.fold(Input::WorkShort, &records?).await?;
                idle = false;
            }
            if open.work
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

    async fn fold(&mut self, input: Input, records: &[Record]) -> Result<(), BusError> {
        self.takeover.moves(&self.context.runtime.clock);
        for record in records {
            match input {
                Input::Ready => self.reader.ready(&mut self.core, record).await?,
                Input::WorkShort | Input::WorkLong => self.reader.work(&mut self.core, record).await?,
                Input::Outcomes => self.reader.outcome(&mut self.core, record).await?,
            }
        }
        if input == Input::Outcomes {
            self.settle();
        }
        Ok(())
    }

    fn take_signal(&mut self, signal: Signal) -> Result<(), Error> {
        let now = self.context.now(&mut self.core);
        match signal {
            Signal::Status(status) => self.core.status(&status, now),
            Signal::Cancel(cancel) => self.core.cancel(&cancel, now),
            Signal::Dispatched(attempts) => attempts
                .iter()
                .for_each(|attempt| self.core.dispatched(attempt, now)),
            Signal::Undispatchable(attempt, reason) => {
                tracing::error!(request.id = %attempt.request_id, reason, "work does not fit into its topic; its request fails");
                self.core
                    .undispatchable(&attempt, "the request is too large for its pool", now);
            }
            Signal::HandedOver(ids) => ids.iter().for_each(|id| self.core.handed_over(id)),
            Signal::CannotHandOver(id, reason) => {
                tracing::error!(request.id = %id, reason, "another pool's topic cannot take a request, which stays");
                self.core.cannot_hand_over(&id, now);
            }
            Signal::CannotHandOverYet(handover, topic) => {
                if self.missing.insert(topic.clone()) {
                    let pool = handover.pool.as_str();
                    tracing::warn!(
                        "pool `{pool}` has no topic {topic}; what is to go on there waits and is tried again until its \
                         deadline: add the pool to the topic manifest and run `relay topics apply`"
                    );
                }
                self.core.cannot_hand_over_yet(*handover, now);
            }
            Signal::OutcomesEnd(doubts, ends) => {
                self.doubts.add(doubts, ends);
                self.settle();
            }
            Signal::Fenced(attempt, answer) => self.core.fence_answer(&attempt, answer, now),
            Signal::Held(held) => self.takeover.bound_again(&mut self.core, &held),
            Signal::Seam(true) => self.core.seam_works(now),
            Signal::Seam(false) => self.core.seam_fails(),
            Signal::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Tells the core of doubts whose outcomes are folded to their end.
    fn settle(&mut self) {
        let folded = self.doubts.take_folded(self.core.offsets());
        let now = self.context.now(&mut self.core);
        self.core.settled(&folded, now);
    }

    /// Begins to decide once all that a predecessor did is known.
    fn recovered(&mut self) {
        let clock = &self.context.runtime.clock;
        let Some(took) = self.takeover.finish(&self.core, clock) else {
            return;
        };
        // Before anything is decided, so that nobody sees a pool that runs beside a scheduler that does not.
        self.standstill.over();
        let now = self.context.now(&mut self.core);
        self.core.lead(self.epoch, now);
        recover::say(&self.context, self.epoch, took, &self.core.counts());
    }

    /// Lets the core decide and does what it wants, if this leader may act now.
    fn decide(&mut self, election: &mut Election, outbox: &mut Outbox) {
        let now = self.context.now(&mut self.core);
        self.busy = false;
        if !self.takeover.is_over() {
            return;
        }
        if !election.leadership().may_act(now) {
            // Its own heartbeats do not come back.
            return self.core.log_is_away(now);
        }
        for letter in self.reader.take_garbage(&self.core) {
            outbox.conclude(letter);
        }
        for unreadable in election.take_unreadable() {
            let letter = give_up(&self.context, &unreadable.record, &unreadable.reason, "scheduler");
            outbox.conclude(letter);
        }
        if self.context.runtime.shutdown.is_ending() {
            self.core.hold_batch();
        }
        self.core.tick(now);
        let clock = &self.context.runtime.clock;
        let began = clock.instant();
        self.busy = self.core.dispatch(now);
        let took = clock.since(began);
        let effects = self.core.effects();
        let is_dispatch = |effect: &&Effect| matches!(effect, Effect::Dispatch(_));
        let dispatched = effects.iter().filter(is_dispatch).count();
        if dispatched > 0 {
            let metrics = self.context.metrics.lock();
            metrics.decision.observe(took.as_secs_f64() / dispatched as f64);
        }
        for effect in effects {
            perform(&self.context, &self.core, outbox, effect);
        }
    }

    /// Appends a heartbeat when one is due, or a snapshot in its place.
    fn beat(&mut self, election: &Election, outbox: &Outbox) {
        let now = self.context.now(&mut self.core);
        if !self.heartbeat.beats(now, &self.times) || !outbox.can_write() {
            return;
        }
        if outbox.lost_snapshot() {
            self.heartbeat.lost_snapshot();
        }
        let counts = self.core.counts();
        // What another pool has, a successor would take up again without a snapshot.
        let takes = self.may_write_snapshot(election, outbox)
            && self
                .heartbeat
                .takes_snapshot(counts.changes, counts.handed_over, now, &self.times);
        let (kind, snapshot) = if takes {
            (Kind::Snapshot, Some(self.core.snapshot()))
        } else {
            (Kind::Heartbeat, None)
        };
        outbox.write(kind, election.record(kind, self.epoch, snapshot, now));
    }

    /// A snapshot must not be ahead of what is published: dead letters are in no topic that recovery folds. Who may not act may
    /// have been deposed, and would write what its successor has decided otherwise.
    fn may_write_snapshot(&self, election: &Election, outbox: &Outbox) -> bool {
        let now = self.context.runtime.clock.steady();
        election.leadership().may_act(now)
            && self.takeover.is_over()
            && !self.reader.has_garbage()
            && outbox.backlog().letters_are_published()
    }

    /// Waits until everything is out, and notes what the bus has acknowledged: the last snapshot lists it no longer.
    async fn let_out(&mut self, signals: &mut mpsc::Receiver<Signal>, outbox: &mut Outbox) {
        let drained = outbox.drained();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                Some(signal) = signals.recv() => self.take_published(signal),
                () = &mut drained => return,
            }
        }
    }

    /// Takes in what became of a record; of the rest nothing follows any more.
    fn take_published(&mut self, signal: Signal) {
        let published = matches!(
            signal,
            Signal::Dispatched(_)
                | Signal::Undispatchable(..)
                | Signal::HandedOver(_)
                | Signal::CannotHandOver(..)
                | Signal::CannotHandOverYet(..)
        );
        if published && let Err(error) = self.take_signal(signal) {
            tracing::warn!(%error, "what was published could not be noted");
        }
    }

    /// A clean stop: lets what is on its way arrive, writes down what there is, and makes room for a standby.
    async fn resign(mut self, election: &Election, signals: &mut mpsc::Receiver<Signal>, mut outbox: Outbox) {
        let shutdown = self.context.runtime.shutdown.clone();
        tokio::select! {
            biased;
            () = self.let_out(signals, &mut outbox) => {}
            () = shutdown.stopped() => {
                shutdown.cut(1);
                let pool = &self.context.pool;
                tracing::warn!(pool, "what was being published is left to the successor");
            }
        }
        while let Ok(signal) = signals.try_recv() {
            self.take_published(signal);
        }
        let may_write = self.may_write_snapshot(election, &outbox);
        let snapshot = may_write.then(|| self.core.snapshot());
        election.resign(self.epoch, snapshot).await;
    }
}
