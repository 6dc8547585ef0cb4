//! A scheduler instance: the real core and the real leadership; only reading, publishing and asking are simulated.

use std::collections::BTreeMap;

use rand::Rng;
use relay_scheduler::Config;
use relay_scheduler::core::{At, Attempt, Core, Effect, Input, Offer};
use relay_scheduler::leadership::Leadership;
use relay_schemas::{
    FenceAnswer, InstanceId, Run, SchedulerRecord, SchedulerRecordKind as Kind, Service, TimestampMs,
};

use crate::frames::final_frames;
use crate::log::{Append, Log};
use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{World, ingress_of};

const FENCE_TIMEOUT_MS: i64 = 500;
const CONTROL_GRACE_MS: i64 = 500;

/// One scheduler instance.
pub(crate) struct Scheduler {
    number: u8,
    start: i64,
    config: Config,
    /// What it knows and decides.
    pub core: Core,
    leadership: Leadership,
    led: Option<i64>,
    leadership_next: i64,
    next: BTreeMap<Input, i64>,
    beat_at: TimestampMs,
    snapshot_at: TimestampMs,
    settling: Vec<(i64, Vec<Attempt>)>,
    fencing: Vec<Fencing>,
}

struct Fencing {
    attempt: Attempt,
    ingress: Option<Actor>,
    /// Questions that were asked over a working seam.
    asked: u32,
    /// The one on its way.
    open: bool,
    due: TimestampMs,
}

impl Scheduler {
    pub fn new(number: u8, start: i64) -> Self {
        let config = Config {
            snapshot_every_ms: 1_500,
            ..Config::default()
        };
        let instance = InstanceId::new(format!("scheduler-{number}"));
        let run = Run {
            service: Service::Scheduler,
            instance: instance.clone(),
            epoch: start,
            attempt: 0,
        };
        Self {
            number,
            start,
            core: Core::new(config.clone(), "default", run),
            leadership: Leadership::new(&config, instance, start),
            led: None,
            leadership_next: 0,
            next: BTreeMap::new(),
            beat_at: TimestampMs(0),
            snapshot_at: TimestampMs(0),
            settling: Vec::new(),
            fencing: Vec::new(),
            config,
        }
    }

    /// Opens a core on the newest snapshot of the log and folds the tail: work before what ended it, as `recover` does.
    fn recover(&mut self, log: &Log, now: TimestampMs) {
        let fresh = Self::new(self.number, self.start);
        self.core = fresh.core;
        (self.led, self.settling, self.fencing) = (None, Vec::new(), Vec::new());
        let snapshots = log
            .scheduler
            .iter()
            .filter_map(|(_, record)| record.snapshot.as_ref());
        if let Some(snapshot) = snapshots.last() {
            self.core.restore(snapshot);
        }
        let overlap = self.config.ended_overlap;
        let offsets = self.core.offsets().clone();
        self.next = Input::ALL
            .into_iter()
            .map(|input| (input, offsets.next(input, 0)))
            .collect();
        self.next.insert(Input::Ready, self.core.ready_from(0));
        let ended = offsets.next(Input::Outcomes, 0) - overlap;
        self.next.insert(Input::Outcomes, ended.max(0));
        for input in [Input::Ready, Input::WorkShort, Input::WorkLong, Input::Outcomes] {
            self.fold(input, log, now);
        }
    }

    /// Whether it has read every outcome there is.
    pub fn has_settled(&self, log: &Log) -> bool {
        self.next[&Input::Outcomes] == log.outcomes.end()
    }

    fn record(&self, kind: Kind, epoch: i64, now: TimestampMs) -> SchedulerRecord {
        let snapshot = (kind == Kind::Snapshot).then(|| self.core.snapshot());
        SchedulerRecord {
            pool: "default".to_owned(),
            scheduler: InstanceId::new(format!("scheduler-{}", self.number)),
            scheduler_start: self.start,
            kind,
            epoch,
            sent_at: now,
            snapshot,
        }
    }

    fn fold(&mut self, input: Input, log: &Log, now: TimestampMs) {
        let next = self.next.entry(input).or_default();
        let at = At {
            partition: 0,
            offset: *next,
        };
        match input {
            Input::Ready => {
                while let Some(ready) = log.ready.get(*next) {
                    let at = At {
                        partition: 0,
                        offset: *next,
                    };
                    *next += 1;
                    if self.core.wants(at) {
                        self.core.offer(
                            Offer {
                                ready: ready.clone(),
                                at,
                                bytes: 100,
                                queued_at: now,
                                trace: None,
                            },
                            now,
                        );
                    }
                }
            }
            Input::WorkShort | Input::WorkLong => {
                let topic = if input == Input::WorkShort {
                    &log.short
                } else {
                    &log.long
                };
                while let Some((work, ready_at)) = topic.get(*next) {
                    let at = At { offset: *next, ..at };
                    *next += 1;
                    let (id, lease) = (&work.request.request_id, &work.lease);
                    if !self
                        .core
                        .work_read_back(id, lease.attempt, lease.scheduler_epoch, input, at)
                    {
                        self.core.work(work.clone(), input, at, *ready_at, now);
                    }
                }
            }
            Input::Outcomes => {
                while let Some(outcome) = log.outcomes.get(*next) {
                    let at = At { offset: *next, ..at };
                    *next += 1;
                    self.core.outcome(outcome, at);
                }
            }
        }
    }
}

impl World {
    pub(crate) fn step_scheduler(&mut self, number: u8) {
        let now = self.now;
        self.lead_or_follow(number);
        let scheduler = &mut self.schedulers[usize::from(number)];
        if scheduler.led.is_some() {
            // Topics are read independently, so any may be ahead of the others.
            let first = self.random.random_range(0..Input::ALL.len());
            for turn in 0..Input::ALL.len() {
                scheduler.fold(Input::ALL[(first + turn) % Input::ALL.len()], &self.log, now);
            }
        }
        self.decide(number);
        self.plan_scheduler(number);
    }

    fn lead_or_follow(&mut self, number: u8) {
        let now = self.now;
        let scheduler = &mut self.schedulers[usize::from(number)];
        while let Some((at, record)) = self.log.scheduler.entry(scheduler.leadership_next) {
            scheduler
                .leadership
                .observe(record, scheduler.leadership_next, at);
            scheduler.leadership_next += 1;
        }
        let epoch = scheduler.leadership.epoch();
        let leads = scheduler.leadership.leads();
        if scheduler.led.is_some_and(|led| !leads || led != epoch) {
            scheduler.led = None;
        }
        if leads && scheduler.led.is_none() {
            scheduler.recover(&self.log, now);
            scheduler.led = Some(epoch);
            scheduler.core.lead(epoch, now);
            self.note(|| format!("scheduler-{number} leads under {epoch}"));
        }
        let scheduler = &mut self.schedulers[usize::from(number)];
        if scheduler.leadership.claim_due().is_some_and(|due| due <= now) {
            let follows = scheduler.leadership.claim(now);
            let claim = scheduler.record(Kind::Claim, follows, now);
            self.append(Actor::Scheduler(number), Append::Scheduler(Box::new(claim)));
        }
    }

    fn decide(&mut self, number: u8) {
        let now = self.now;
        let scheduler = &mut self.schedulers[usize::from(number)];
        let Some(epoch) = scheduler.led else { return };
        if now.since_ms(scheduler.beat_at) >= scheduler.config.heartbeat_ms as i64 {
            scheduler.beat_at = now;
            let due = now.since_ms(scheduler.snapshot_at) >= scheduler.config.snapshot_every_ms as i64;
            let kind = if due { Kind::Snapshot } else { Kind::Heartbeat };
            if due {
                scheduler.snapshot_at = now;
            }
            let beat = scheduler.record(kind, epoch, now);
            self.append(Actor::Scheduler(number), Append::Scheduler(Box::new(beat)));
        }
        let scheduler = &mut self.schedulers[usize::from(number)];
        if !scheduler.leadership.may_act(now) {
            return;
        }
        scheduler.core.tick(now);
        while scheduler.core.dispatch(now) {}
        self.settle(number);
        self.fence_again(number);
        self.effects(number);
    }

    fn effects(&mut self, number: u8) {
        let actor = Actor::Scheduler(number);
        for effect in self.schedulers[usize::from(number)].core.effects() {
            match effect {
                Effect::Dispatch(dispatch) => {
                    self.append(actor, Append::Work(Box::new(dispatch.work), dispatch.ready_at));
                }
                Effect::End(outcome, _) => self.append(actor, Append::Outcome(outcome)),
                Effect::Settle(attempts) => {
                    let end = self.log.outcomes.end();
                    self.schedulers[usize::from(number)]
                        .settling
                        .push((end, attempts));
                }
                Effect::AskFence { attempt, reply_to } => {
                    let ingress = ingress_of(&reply_to);
                    let fencing = Fencing {
                        attempt,
                        ingress,
                        asked: 0,
                        open: false,
                        due: self.now,
                    };
                    self.schedulers[usize::from(number)].fencing.push(fencing);
                    self.fence_again(number);
                }
                Effect::PoolStatus(_) => {}
            }
        }
    }

    /// Settled is what is folded up to where outcomes ended, once the control seam works and workers had time to show themselves.
    fn settle(&mut self, number: u8) {
        if self
            .network
            .back_at(Actor::Scheduler(number))
            .plus_ms(CONTROL_GRACE_MS)
            > self.now
        {
            return;
        }
        let scheduler = &mut self.schedulers[usize::from(number)];
        let folded = scheduler.next[&Input::Outcomes];
        let (ready, waiting) = std::mem::take(&mut scheduler.settling)
            .into_iter()
            .partition(|(end, _)| *end <= folded);
        scheduler.settling = waiting;
        let ready: Vec<(i64, Vec<Attempt>)> = ready;
        for (_, attempts) in ready {
            scheduler.core.settled(&attempts, self.now);
        }
    }

    /// Asks, and after two questions over a working seam without an answer goes on without.
    fn fence_again(&mut self, number: u8) {
        let now = self.now;
        let due = |fencing: &Fencing| fencing.due <= now;
        let all = std::mem::take(&mut self.schedulers[usize::from(number)].fencing);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(due);
        self.schedulers[usize::from(number)].fencing = later;
        let back_at = self.network.back_at(Actor::Scheduler(number));
        for mut fencing in due {
            let whole = back_at.plus_ms(FENCE_TIMEOUT_MS) <= now;
            fencing.asked += u32::from(std::mem::take(&mut fencing.open) && whole);
            let Some(ingress) = fencing.ingress.filter(|_| fencing.asked < 2) else {
                self.schedulers[usize::from(number)]
                    .core
                    .fence_answer(&fencing.attempt, None, now);
                continue;
            };
            let Attempt { request_id, attempt } = fencing.attempt.clone();
            self.send(
                Actor::Scheduler(number),
                ingress,
                Message::AskFence(request_id, attempt, Actor::Scheduler(number)),
            );
            fencing.open = true;
            fencing.due = now.plus_ms(FENCE_TIMEOUT_MS);
            self.schedulers[usize::from(number)].fencing.push(fencing);
        }
    }

    fn plan_scheduler(&mut self, number: u8) {
        let scheduler = &self.schedulers[usize::from(number)];
        let beat = scheduler
            .led
            .map(|_| scheduler.beat_at.plus_ms(scheduler.config.heartbeat_ms as i64));
        let fencing = scheduler.fencing.iter().map(|fencing| fencing.due).min();
        let settling = (!scheduler.settling.is_empty()).then(|| self.now.plus_ms(100));
        let wakes = [
            scheduler.core.next_wakeup(),
            scheduler.leadership.claim_due(),
            beat,
            fencing,
            settling,
        ];
        if let Some(at) = wakes.into_iter().flatten().min() {
            self.wake(Actor::Scheduler(number), at.max(self.now.plus_ms(1)));
        }
    }

    pub(crate) fn scheduler_acknowledged(&mut self, number: u8, record: Append) {
        let now = self.now;
        match record {
            Append::Work(work, _) => {
                let attempt = Attempt {
                    request_id: work.request.request_id,
                    attempt: work.lease.attempt,
                };
                self.schedulers[usize::from(number)]
                    .core
                    .dispatched(&attempt, now);
            }
            Append::Outcome(outcome) => {
                let reply_to = outcome
                    .request
                    .as_ref()
                    .and_then(|request| request.reply_to.clone());
                self.send_frames(
                    Actor::Scheduler(number),
                    reply_to.as_deref(),
                    final_frames(&outcome, 0, false),
                );
            }
            _ => {}
        }
        self.wake(Actor::Scheduler(number), now);
    }

    pub(crate) fn scheduler_hears(&mut self, number: u8, message: Message) {
        let now = self.now;
        let scheduler = &mut self.schedulers[usize::from(number)];
        if scheduler.led.is_none() {
            return;
        }
        match message {
            Message::Status(status) => scheduler.core.status(&status, now),
            Message::Cancel(cancel) => scheduler.core.cancel(&cancel, now),
            Message::Fenced(request_id, attempt, answer) => {
                let attempt = Attempt { request_id, attempt };
                scheduler.fencing.retain(|fencing| fencing.attempt != attempt);
                let answer: FenceAnswer = answer;
                scheduler.core.fence_answer(&attempt, Some(answer), now);
            }
            _ => return,
        }
        self.wake(Actor::Scheduler(number), now);
    }

    /// The scheduler that leads and may decide, if there is one.
    pub(crate) fn leader(&self) -> Option<&Scheduler> {
        self.schedulers
            .iter()
            .find(|scheduler| scheduler.led.is_some() && scheduler.leadership.may_act(self.now))
    }
}
