//! A scheduler instance: the real core and the real leadership; only reading, publishing and asking are simulated.

mod doubt;
mod reading;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use relay_clock::millis;
use relay_lifecycle::last_frame;
use relay_runner::{Leadership, LeadershipTopic, Notice, NoticeKind as Kind};
use relay_scheduler::core::{Attempt, Core, Doubted, Effect, Ends, Input};
use relay_scheduler::{Config, LeadershipConfig, Leases, Limits, SchedulerTopic};
use relay_schemas::{FenceAnswer, InstanceId, Run, SchedulerRecord, SchedulerSnapshot, Service, TimestampMs};
use relay_settings::ByteSize;

use self::doubt::Fencing;
use crate::log::{Append, POOLS};
use crate::network::Message;
use crate::schedule::Actor;
use crate::worker::worker_of;
use crate::world::{World, ingress_of};

/// What a request's body weighs.
const BODY_BYTES: usize = 100;
/// Bodies that a scheduler holds: few, so that the bound is met.
const MOST_BODIES: usize = 12;
/// Of one tenant.
const MOST_BODIES_OF_ONE: usize = 8;
/// Most records of one topic read in one turn.
const MOST_AT_ONCE: usize = 8;
/// How long a pool may be without a worker: shorter than some deaths, longer than others.
const HAND_OVER_AFTER: Duration = Duration::from_millis(1_500);
/// How long a request for a model that no worker runs may wait.
pub(crate) const UNSERVED_GRACE: Duration = Duration::from_secs(3);

/// One scheduler instance.
pub(crate) struct Scheduler {
    number: u8,
    pool: usize,
    start: i64,
    config: Config,
    /// What it knows and decides.
    pub core: Core,
    leadership: Leadership,
    /// The newest one of a leader.
    snapshot: Option<SchedulerSnapshot>,
    led: Option<i64>,
    /// While it recovers: where the inputs ended at the election.
    ends: Option<Ends>,
    leadership_next: i64,
    next: BTreeMap<Input, i64>,
    beat_at: TimestampMs,
    snapshot_at: TimestampMs,
    /// Where outcomes ended, once the log has answered that.
    settling: Vec<(Option<i64>, Vec<Doubted>)>,
    fencing: Vec<Fencing>,
}

impl Scheduler {
    pub fn new(number: u8, start: i64) -> Self {
        let config = Config {
            leadership: LeadershipConfig {
                snapshot_every: Duration::from_millis(1_500),
                ..LeadershipConfig::default()
            },
            leases: Leases {
                hand_over_after: HAND_OVER_AFTER,
                unserved_grace: UNSERVED_GRACE,
                ..Leases::default()
            },
            limits: Limits {
                max_bodies: ByteSize::b((MOST_BODIES * BODY_BYTES) as u64),
                max_bodies_per_tenant: ByteSize::b((MOST_BODIES_OF_ONE * BODY_BYTES) as u64),
                ..Limits::default()
            },
            ..Config::default()
        };
        let instance = InstanceId::new(format!("scheduler-{number}"));
        let run = Run {
            service: Service::Scheduler,
            instance: instance.clone(),
            epoch: start,
            attempt: 0,
        };
        let pool = Actor::pool(number);
        Self {
            number,
            pool,
            start,
            core: Core::new(config.clone(), POOLS[pool], run),
            leadership: Leadership::new(&config.leadership.times(), instance, start),
            snapshot: None,
            led: None,
            ends: None,
            leadership_next: 0,
            next: BTreeMap::new(),
            beat_at: TimestampMs(0),
            snapshot_at: TimestampMs(0),
            settling: Vec::new(),
            fencing: Vec::new(),
            config,
        }
    }

    fn record(&self, kind: Kind, epoch: i64, now: TimestampMs) -> SchedulerRecord {
        let snapshot = (kind == Kind::Snapshot).then(|| self.core.snapshot());
        let notice = Notice {
            instance: InstanceId::new(format!("scheduler-{}", self.number)),
            start: self.start,
            kind,
            epoch,
            sent_at: now,
        };
        self.topic().record(notice, snapshot)
    }

    fn topic(&self) -> SchedulerTopic {
        SchedulerTopic {
            pool: POOLS[self.pool].to_owned(),
        }
    }
}

impl World {
    pub(crate) fn step_scheduler(&mut self, number: u8) {
        let now = self.scheduler_now(number);
        let timeline = self.timeline(Actor::Scheduler(number));
        self.schedulers[usize::from(number)].core.follow_clock(timeline);
        self.lead_or_follow(number);
        let scheduler = &mut self.schedulers[usize::from(number)];
        if scheduler.led.is_some() && self.log_back_at <= now {
            // Topics are read independently, so any may be ahead of the others.
            let first = self.random.random_range(0..Input::ALL.len());
            for turn in 0..Input::ALL.len() {
                let most = self.random.random_range(1..=MOST_AT_ONCE);
                let input = Input::ALL[(first + turn) % Input::ALL.len()];
                scheduler.fold_some(input, most, &self.log, now);
            }
            self.recovered(number);
        }
        self.decide(number);
        self.plan_scheduler(number);
    }

    fn lead_or_follow(&mut self, number: u8) {
        let now = self.scheduler_now(number);
        let scheduler = &mut self.schedulers[usize::from(number)];
        if self.log_back_at <= self.now {
            scheduler.follow(&self.log);
        }
        let epoch = scheduler.leadership.epoch();
        let leads = scheduler.leadership.leads();
        if scheduler.led.is_some_and(|led| !leads || led != epoch) {
            scheduler.led = None;
        }
        if leads && scheduler.led.is_none() {
            scheduler.open(&self.log);
            scheduler.led = Some(epoch);
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
        let now = self.scheduler_now(number);
        let scheduler = &mut self.schedulers[usize::from(number)];
        let Some(epoch) = scheduler.led else { return };
        if now.since_ms(scheduler.beat_at) >= millis(scheduler.config.leadership.heartbeat) {
            scheduler.beat_at = now;
            let due = scheduler.ends.is_none()
                && now.since_ms(scheduler.snapshot_at) >= millis(scheduler.config.leadership.snapshot_every);
            let kind = if due { Kind::Snapshot } else { Kind::Heartbeat };
            if due {
                scheduler.snapshot_at = now;
            }
            let beat = scheduler.record(kind, epoch, now);
            self.append(Actor::Scheduler(number), Append::Scheduler(Box::new(beat)));
        }
        let scheduler = &mut self.schedulers[usize::from(number)];
        if scheduler.ends.is_some() {
            return;
        }
        if !scheduler.leadership.may_act(now) {
            return scheduler.core.log_is_away(now);
        }
        if self.network.reaches(Actor::Scheduler(number), now) {
            scheduler.core.seam_works(now);
        } else {
            scheduler.core.seam_fails();
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
                Effect::HandOver(handover) => self.append(actor, Append::Ready(Box::new(handover.ready))),
                Effect::Settle(doubts) => {
                    self.schedulers[usize::from(number)].settling.push((None, doubts));
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
                Effect::Revoke {
                    worker,
                    worker_epoch,
                    revoked,
                } => {
                    if let Some(to) = worker_of(&worker) {
                        self.send(actor, to, Message::Revoked(worker_epoch, Box::new(revoked)));
                    }
                }
                Effect::PoolStatus(_) => {}
            }
        }
    }

    fn plan_scheduler(&mut self, number: u8) {
        let scheduler = &self.schedulers[usize::from(number)];
        let beat = scheduler.led.map(|_| {
            scheduler
                .beat_at
                .plus_ms(millis(scheduler.config.leadership.heartbeat))
        });
        let fencing = scheduler.fencing.iter().map(|fencing| fencing.due).min();
        let settling = (!scheduler.settling.is_empty()).then(|| self.now.plus_ms(100));
        let behind = scheduler
            .is_behind(&self.log)
            .then(|| self.now.plus_ms(1).max(self.log_back_at));
        let deciding = scheduler.led.is_some() && scheduler.ends.is_none();
        let wakes = [
            behind,
            scheduler.core.next_wakeup().filter(|_| deciding),
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
        let now = self.scheduler_now(number);
        match record {
            Append::Work(work, _) => {
                let attempt = Attempt {
                    request_id: work.request.request_id.clone(),
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
                    vec![last_frame(&outcome, 0, false)],
                );
            }
            Append::Ready(ready) => {
                let id = &ready.request.request_id;
                self.schedulers[usize::from(number)].core.handed_over(id);
            }
            _ => {}
        }
        self.wake(Actor::Scheduler(number), now);
    }

    pub(crate) fn scheduler_hears(&mut self, number: u8, message: Message) {
        let now = self.scheduler_now(number);
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

    /// The scheduler that leads a pool and may decide, if there is one.
    pub(crate) fn leader(&self, pool: usize) -> Option<&Scheduler> {
        self.schedulers.iter().find(|scheduler| {
            scheduler.pool == pool
                && scheduler.ends.is_none()
                && scheduler.led.is_some()
                && scheduler.leadership.may_act(self.now)
        })
    }
}
