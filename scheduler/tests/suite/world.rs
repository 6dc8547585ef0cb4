//! A scheduler's core with a log, workers and an ingress around it, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use relay_lifecycle::{Ending, Known, end};
use relay_scheduler::Config;
use relay_scheduler::core::{At, Attempt, Core, Doubted, Effect, HandOver, Input};
use relay_schemas::{
    Cancel, FenceAnswer, InFlight, InstanceId, Lane, Outcome, OutcomeStatus, RequestId, Returned, Run,
    Service, TimestampMs, TokenCount, Work, WorkerStatus,
};

use crate::records::{Spec, worker};

pub fn run(service: Service, instance: &str, attempt: u32) -> Run {
    Run {
        service,
        instance: instance.into(),
        epoch: 1,
        attempt,
    }
}

/// A worker: its status, and the work it holds.
pub struct Worker {
    pub status: WorkerStatus,
    pub works: Vec<Work>,
    pub alive: bool,
}

pub struct World {
    pub config: Config,
    pub core: Core,
    pub now: i64,
    pub workers: BTreeMap<InstanceId, Worker>,
    pub ready_log: Vec<Spec>,
    pub work_log: BTreeMap<Lane, Vec<Work>>,
    pub outcomes: Vec<Outcome>,
    /// How much of the outcomes the core has read.
    pub read: usize,
    /// What an ingress says when asked to fence; `None` where nobody answers.
    pub fence: Option<FenceAnswer>,
    pub fenced: Vec<Attempt>,
    /// Who was told that a lease is over, of which attempt.
    pub revoked: Vec<(InstanceId, u32)>,
    /// Work that was dispatched, in order.
    pub dispatched: Vec<Work>,
    /// Effects are performed at once; else the doubts wait in here.
    pub doubts: Vec<Vec<Doubted>>,
    pub settle_at_once: bool,
    /// What went to other pools, in order.
    pub handed_over: Vec<HandOver>,
    /// The other pool's log takes it at once; else nothing is acknowledged.
    pub hand_over_at_once: bool,
}

impl World {
    pub fn new(config: Config) -> Self {
        let mut core = Core::new(config.clone(), "default", run(Service::Scheduler, "s1", 0));
        core.lead(7, TimestampMs(0));
        core.seam_works(TimestampMs(0));
        Self {
            config,
            core,
            now: 0,
            workers: BTreeMap::new(),
            ready_log: Vec::new(),
            work_log: BTreeMap::from([(Lane::Short, Vec::new()), (Lane::Long, Vec::new())]),
            outcomes: Vec::new(),
            read: 0,
            fence: Some(FenceAnswer {
                known: true,
                saw_token: false,
            }),
            fenced: Vec::new(),
            revoked: Vec::new(),
            dispatched: Vec::new(),
            doubts: Vec::new(),
            settle_at_once: true,
            handed_over: Vec::new(),
            hand_over_at_once: true,
        }
    }

    pub fn now(&self) -> TimestampMs {
        TimestampMs(self.now)
    }

    pub fn with_worker(mut self, name: &str, short: u32, long: u32) -> Self {
        self.add(worker(name, 1, short, long));
        self
    }

    /// A worker comes, as its status tells it.
    pub fn add(&mut self, status: WorkerStatus) {
        let name = status.worker.clone();
        let worker = Worker {
            status,
            works: Vec::new(),
            alive: true,
        };
        self.workers.insert(name.clone(), worker);
        self.tell(name.as_str());
    }

    /// The worker tells its status.
    pub fn tell(&mut self, name: &str) {
        let now = self.now();
        let worker = self.workers.get_mut(&name.into()).unwrap();
        worker.status.seq += 1;
        if worker.alive {
            let status = worker.status.clone();
            self.core.status(&status, now);
        }
        self.perform();
    }

    /// The worker shows what it holds, and then no more.
    pub fn lose_work(&mut self, name: &str) {
        self.tell(name);
        self.never_read(name);
    }

    /// The worker shows nothing of what it was given.
    pub fn never_read(&mut self, name: &str) {
        let worker = self.workers.get_mut(&name.into()).unwrap();
        worker.status.in_flight.clear();
    }

    /// The worker reads on: it shows what it was given, under each attempt that it has not ended.
    pub fn reads_on(&mut self, name: &str) {
        let worker = self.workers.get_mut(&name.into()).unwrap();
        let in_flight = worker.works.iter().map(|work| InFlight {
            request_id: work.request.request_id.clone(),
            attempt: work.lease.attempt,
            scheduler_epoch: work.lease.scheduler_epoch,
            tokens: TokenCount(0),
        });
        worker.status.in_flight = in_flight.collect();
        self.tell(name);
    }

    pub fn offer(&mut self, spec: &Spec) {
        let offer = spec.offer(self.ready_log.len() as i64, self.now);
        self.ready_log.push(spec.clone());
        let now = self.now();
        self.core.offer(offer, now);
        self.perform();
    }

    pub fn cancel(&mut self, id: &str, tenant: &str) {
        let cancel = Cancel {
            request_id: id.into(),
            tenant: tenant.into(),
            reason: "client_gone".to_owned(),
        };
        let now = self.now();
        self.core.cancel(&cancel, now);
        self.perform();
    }

    pub fn dispatch(&mut self) {
        let now = self.now();
        while self.core.dispatch(now) {}
        self.perform();
    }

    pub fn pass(&mut self, ms: i64) {
        self.now += ms;
        let now = self.now();
        self.core.tick(now);
        self.perform();
    }

    /// Lets time pass in steps while the living workers tell their statuses.
    pub fn live(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            let names: Vec<InstanceId> = self.workers.keys().cloned().collect();
            for name in names {
                self.tell(name.as_str());
            }
            self.pass(100);
        }
    }

    /// The run of `id` on `worker` has produced `tokens` so far.
    pub fn produce(&mut self, worker: &str, id: &RequestId, tokens: u32) {
        let worker = self.workers.get_mut(&worker.into()).unwrap();
        let shown = worker
            .status
            .in_flight
            .iter_mut()
            .find(|shown| shown.request_id == *id)
            .unwrap();
        shown.tokens = TokenCount(tokens);
    }

    /// The worker gives a run back, and tells so.
    pub fn give_back(&mut self, name: &str, id: &str, code: &str) {
        self.give_back_as(name, id, code, true);
    }

    /// The worker gives a run back that failed before it began.
    pub fn refuse(&mut self, name: &str, id: &str) {
        self.give_back_as(name, id, "backend_unavailable", false);
    }

    /// The worker has read a run that is over to it, and passed it over.
    pub fn pass_over(&mut self, name: &str, id: &str) {
        self.give_back_as(name, id, Returned::PASSED_OVER, false);
    }

    fn give_back_as(&mut self, name: &str, id: &str, code: &str, begun: bool) {
        let worker = self.workers.get_mut(&name.into()).unwrap();
        let at = worker
            .works
            .iter()
            .position(|work| work.request.request_id.as_str() == id)
            .unwrap();
        let work = worker.works.remove(at);
        worker
            .status
            .in_flight
            .retain(|shown| shown.request_id.as_str() != id);
        worker.status.returned = vec![Returned {
            request_id: id.into(),
            attempt: work.lease.attempt,
            code: code.to_owned(),
            message: "connection refused".to_owned(),
            begun,
        }];
        self.tell(name);
    }

    /// The worker ends a run.
    pub fn complete(&mut self, name: &str, id: &RequestId, tokens: u32) {
        let mut ending = Ending::of(OutcomeStatus::Completed);
        ending.usage.completion_tokens = TokenCount(tokens);
        self.end_run(name, id, |work| {
            ending.usage.prompt_tokens = work.request.prompt_tokens;
            ending
        });
    }

    /// The run of `id` fails, and says that it has used nothing.
    pub fn fail(&mut self, name: &str, id: &RequestId) {
        let failed = Ending::because(OutcomeStatus::Failed, "invalid_request", "the endpoint said 400");
        self.end_run(name, id, |_| failed);
    }

    fn end_run(&mut self, name: &str, id: &RequestId, ending: impl FnOnce(&Work) -> Ending) {
        let worker = self.workers.get_mut(&name.into()).unwrap();
        let at = worker
            .works
            .iter()
            .position(|work| work.request.request_id == *id)
            .unwrap();
        let work = worker.works.remove(at);
        // Two attempts of one request can meet on one worker: this ends the one.
        let attempt = work.lease.attempt;
        worker
            .status
            .in_flight
            .retain(|shown| shown.request_id != *id || shown.attempt != attempt);
        let run = run(Service::Workers, name, work.lease.attempt);
        let ending = ending(&work);
        self.outcomes
            .push(end(Known::Work(&work), run, ending, TimestampMs(self.now)));
    }

    /// The core reads the outcomes that it has not read.
    pub fn fold(&mut self) {
        while let Some(outcome) = self.outcomes.get(self.read).cloned() {
            let at = At {
                partition: 0,
                offset: self.read as i64,
            };
            self.core.outcome(&outcome, at);
            self.read += 1;
        }
        self.perform();
    }

    pub fn perform(&mut self) {
        loop {
            let effects = self.core.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.perform_one(effect);
            }
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        let now = self.now();
        match effect {
            Effect::Dispatch(dispatch) => self.take_work(dispatch.work, dispatch.lane, dispatch.ready_at),
            Effect::End(outcome, _) => self.outcomes.push(*outcome),
            Effect::HandOver(handover) => {
                if self.hand_over_at_once {
                    self.core.handed_over(&handover.ready.request.request_id);
                }
                self.handed_over.push(*handover);
            }
            Effect::Settle(doubts) if self.settle_at_once => {
                self.fold();
                self.core.settled(&doubts, now);
            }
            Effect::Settle(doubts) => self.doubts.push(doubts),
            Effect::AskFence { attempt, .. } => {
                self.fenced.push(attempt.clone());
                self.core.fence_answer(&attempt, self.fence, now);
            }
            Effect::Revoke { worker, revoked, .. } => self.revoked.push((worker, revoked.attempt)),
            Effect::PoolStatus(_) => {}
        }
    }

    fn take_work(&mut self, work: Work, lane: Lane, ready_at: Option<At>) {
        let now = self.now();
        let log = self.work_log.get_mut(&lane).unwrap();
        let at = At {
            partition: 0,
            offset: log.len() as i64,
        };
        log.push(work.clone());
        self.dispatched.push(work.clone());
        let attempt = Attempt {
            request_id: work.request.request_id.clone(),
            attempt: work.lease.attempt,
        };
        self.core.dispatched(&attempt, now);
        let input = if lane == Lane::Short {
            Input::WorkShort
        } else {
            Input::WorkLong
        };
        self.core.work(work.clone(), input, at, ready_at, now);
        if let Some(worker) = self.workers.get_mut(&work.lease.worker)
            && worker.alive
            && worker.status.epoch == work.lease.worker_epoch
        {
            worker.status.in_flight.push(InFlight {
                request_id: attempt.request_id,
                attempt: attempt.attempt,
                scheduler_epoch: work.lease.scheduler_epoch,
                tokens: TokenCount(0),
            });
            worker.works.push(work);
        }
    }

    /// The outcome of `id`, if there is one.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.outcomes
            .iter()
            .find(|outcome| outcome.request_id.as_str() == id)
    }

    pub fn ids_dispatched(&self) -> Vec<&str> {
        self.dispatched
            .iter()
            .map(|work| work.request.request_id.as_str())
            .collect()
    }

    pub fn distinct_ended(&self) -> BTreeSet<&str> {
        self.outcomes
            .iter()
            .map(|outcome| outcome.request_id.as_str())
            .collect()
    }
}
