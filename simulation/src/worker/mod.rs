//! A worker: the real books of what may run, and answers that say which run they come from.

mod running;

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::Rng;
use relay_lifecycle::life::Event;
use relay_lifecycle::{Ending, last_frame, next_pool};
use relay_schemas::{
    Delta, Frame, InstanceId, Lane, ModelState, ModelStatus, Outcome, OutcomeStatus, RequestId, Returned,
    Revoked, Run, Service, TimestampMs, TokenCount, WorkerStatus,
};
use relay_workers::ledger::{Admission, Key, Ledger, Remembered};
use relay_workers::returned::GivenBack;

use self::running::{Running, model};
use crate::log::{Append, Log, POOLS};
use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

const STATUS_EVERY_MS: i64 = 100;
/// Requests of a lane, and of both, that a worker takes at once.
const REMEMBERED: Remembered = Remembered {
    done: 1_000,
    done_ms: 60_000,
    cancels: 1_000,
    cancels_ms: 60_000,
};
const SLOTS: u32 = 2;
const TURNS: u32 = 3;
/// Why a run fails whose model is not loaded.
pub(crate) const BROKEN: &str = "not_loaded";
/// How often a backend fails before the first token.
const BACKEND_FAILS: f64 = 0.05;

/// One worker instance. It reads both lanes of both workers: whatever partitions it owns is among them.
pub(crate) struct Worker {
    number: u8,
    epoch: i64,
    ledger: Ledger<u32>,
    runs: BTreeMap<Key, Running>,
    cancelled: Vec<RequestId>,
    given_back: GivenBack,
    next: [i64; 2],
    status_at: TimestampMs,
    status_seq: i64,
    /// Whether something has changed since the last status.
    changed: bool,
    broken: Broken,
}

/// A model that is not loaded: until when, and whether the status tells.
#[derive(Default)]
struct Broken {
    until: TimestampMs,
    tells: bool,
}

impl Worker {
    pub fn new(number: u8, epoch: i64) -> Self {
        Self {
            number,
            epoch,
            ledger: Ledger::new(instance(number), epoch, REMEMBERED),
            runs: BTreeMap::new(),
            cancelled: Vec::new(),
            given_back: GivenBack::default(),
            next: [0, 0],
            status_at: TimestampMs(0),
            status_seq: 0,
            changed: true,
            broken: Broken::default(),
        }
    }

    /// Its model is not loaded until then.
    pub fn break_model(&mut self, until: TimestampMs, tells: bool) {
        self.broken = Broken { until, tells };
        self.changed = true;
    }

    /// Starts again, up to `back` records before the end: what was not committed is read again.
    pub fn restarted(number: u8, epoch: i64, log: &Log, back: i64) -> Self {
        let topics = &log.pools[Actor::pool(number)];
        let next = [topics.short.end(), topics.long.end()].map(|end| (end - back).max(0));
        Self {
            next,
            ..Self::new(number, epoch)
        }
    }

    pub fn reread(&mut self, back: i64) {
        self.next = self.next.map(|next| (next - back).max(0));
    }

    fn run(&self, attempt: u32) -> Run {
        Run {
            service: Service::Workers,
            instance: instance(self.number),
            epoch: self.epoch,
            attempt,
        }
    }

    fn status(&mut self, now: TimestampMs) -> WorkerStatus {
        self.status_seq += 1;
        self.status_at = now;
        self.changed = false;
        let told_broken = self.broken.tells && now < self.broken.until;
        let model = model(Actor::pool(self.number)).to_owned();
        let runs = &self.runs;
        let tokens: BTreeMap<&RequestId, u32> =
            runs.iter().map(|(key, run)| (&key.0, run.produced)).collect();
        let mut in_flight = self.ledger.in_flight(|_| 0);
        for held in &mut in_flight {
            held.tokens = TokenCount(tokens.get(&held.request_id).copied().unwrap_or_default());
        }
        WorkerStatus {
            worker: instance(self.number),
            epoch: self.epoch,
            pool: POOLS[Actor::pool(self.number)].to_owned(),
            models: if told_broken {
                Vec::new()
            } else {
                vec![model.clone()]
            },
            capacity: vec![if told_broken {
                ModelStatus {
                    model,
                    state: ModelState::Failed,
                    slots: 0,
                    long_slots: 0,
                }
            } else {
                ModelStatus {
                    model,
                    state: ModelState::Ready,
                    slots: TURNS,
                    long_slots: SLOTS,
                }
            }],
            seq: self.status_seq,
            short_partitions: vec![0],
            long_partitions: vec![0],
            short_slots: SLOTS,
            long_slots: SLOTS,
            in_flight,
            returned: self.given_back.told(now),
            draining: false,
            sent_at: now,
        }
    }
}

fn instance(number: u8) -> InstanceId {
    InstanceId::new(format!("worker-{number}"))
}

/// Which worker bears a name.
pub(crate) fn worker_of(name: &InstanceId) -> Option<Actor> {
    let workers = Actor::ALL;
    workers
        .into_iter()
        .find(|actor| matches!(actor, Actor::Worker(number) if instance(*number) == *name))
}

impl World {
    pub(crate) fn step_worker(&mut self, number: u8) {
        self.take_work(number);
        self.produce(number);
        let worker = &mut self.workers[usize::from(number)];
        let due = worker.changed || self.now.since_ms(worker.status_at) >= STATUS_EVERY_MS;
        if due {
            let status = Rc::new(worker.status(self.now));
            for scheduler in Actor::SCHEDULERS[Actor::pool(number)] {
                self.send(Actor::Worker(number), *scheduler, Message::Status(status.clone()));
            }
        }
        let worker = &self.workers[usize::from(number)];
        let runs = worker.runs.values().filter(|run| !run.ended).map(|run| run.due);
        let at = runs
            .min()
            .map_or(i64::MAX, |at| at.0)
            .min(worker.status_at.plus_ms(STATUS_EVERY_MS).0);
        self.wake(Actor::Worker(number), TimestampMs(at.max(self.now.0 + 1)));
    }

    fn take_work(&mut self, number: u8) {
        if !self.log_moves() {
            return;
        }
        for lane in [Lane::Short, Lane::Long] {
            let topics = &self.log.pools[Actor::pool(number)];
            let topic = match lane {
                Lane::Short => &topics.short,
                Lane::Long => &topics.long,
            };
            let worker = &mut self.workers[usize::from(number)];
            while let Some((work, _)) = topic.get(worker.next[lane as usize]) {
                worker.next[lane as usize] += 1;
                let id = &work.request.request_id;
                let mut lease = work.lease.clone();
                if self.sabotage == Sabotage::IgnoreLeases {
                    (lease.worker, lease.worker_epoch) = (instance(number), worker.epoch);
                }
                match worker.ledger.admit(id, &lease, lane, 0, self.now) {
                    Admission::Run { .. } => {
                        self.runs.push((id.clone(), lease.attempt, number, worker.epoch));
                        let first = self.random.random_range(1..200);
                        let running = Running::new(work.clone(), self.now.plus_ms(first));
                        worker.runs.insert((id.clone(), lease.attempt), running);
                        worker.changed = true;
                    }
                    Admission::Skip(skip) if skip.is_told() => {
                        let returned = Returned {
                            request_id: id.clone(),
                            attempt: lease.attempt,
                            code: Returned::PASSED_OVER.to_owned(),
                            message: "the simulation passes it over".to_owned(),
                            begun: false,
                        };
                        worker.given_back.add(returned, self.now);
                        worker.changed = true;
                    }
                    Admission::Skip(_) => {}
                }
            }
        }
    }

    fn produce(&mut self, number: u8) {
        let now = self.now;
        let worker = &self.workers[usize::from(number)];
        let due = worker.runs.iter().filter(|(_, run)| !run.ended && run.due <= now);
        let due: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.advance(number, &key);
        }
    }

    /// One token, or the end.
    fn advance(&mut self, number: u8, key: &Key) {
        let now = self.now;
        let pause = self.random.random_range(1..120);
        let fails = self.random.random_bool(BACKEND_FAILS);
        let timeline = self.timeline(Actor::Worker(number));
        let worker = &mut self.workers[usize::from(number)];
        let run_of = worker.run(key.1);
        let cancelled = worker.cancelled.contains(&key.0);
        let Some(running) = worker.runs.get_mut(key) else {
            return;
        };
        let at = timeline.now_for(running.work.request.accepted_at, now);
        let mut ending = running.ending(cancelled, at);
        let broken = now < worker.broken.until && running.produced == 0;
        if ending.is_none() && broken {
            if self.sabotage != Sabotage::FailUnbegun {
                return self.give_back(number, key, false);
            }
            ending = Some(Ending::because(OutcomeStatus::Failed, BROKEN, "it is not loaded"));
        }
        let plan = &running.work.planning.plan;
        let last_pool = next_pool(plan, POOLS[Actor::pool(number)]).is_none();
        if ending.is_none() && fails && running.produced == 0 && !last_pool {
            return self.give_back(number, key, true);
        }
        let Some(ending) = ending else {
            running.produced += 1;
            self.lives_on(&key.0, Event::Token(key.1));
            let Some(running) = self.workers[usize::from(number)].runs.get_mut(key) else {
                return;
            };
            let piece = format!("{number}/{}/{} ", key.1, running.produced);
            let piece = Delta::text(piece);
            running.said.apply_delta(&piece);
            running.due = now.plus_ms(pause);
            if !running.work.request.stream {
                return;
            }
            let frame = Frame {
                request_id: key.0.clone(),
                run: run_of,
                seq: running.frames.len() as u32,
                deltas: vec![piece],
                embeddings: Vec::new(),
                tokens: TokenCount(running.produced),
                end: None,
            };
            running.frames.push(frame.clone());
            let reply_to = running.work.request.reply_to.clone();
            return self.send_frames(Actor::Worker(number), reply_to.as_deref(), vec![frame]);
        };
        running.ended = true;
        let outcome = running.outcome(run_of, ending, at);
        self.append(Actor::Worker(number), Append::Outcome(Box::new(outcome)));
    }

    /// The backend failed before the first token, or was not there, and another worker or pool may do better.
    fn give_back(&mut self, number: u8, key: &Key, begun: bool) {
        let worker = &mut self.workers[usize::from(number)];
        let returned = Returned {
            request_id: key.0.clone(),
            attempt: key.1,
            code: if begun { "backend_unavailable" } else { BROKEN }.to_owned(),
            message: "the simulation has it so".to_owned(),
            begun,
        };
        worker.given_back.add(returned, self.now);
        worker.ledger.release(key, self.now);
        worker.runs.remove(key);
        worker.changed = true;
        self.given_back.insert(key.0.clone());
        self.note(|| format!("worker-{number} gives {} back, attempt {}", key.0, key.1));
        self.wake(Actor::Worker(number), self.now);
    }

    pub(crate) fn worker_acknowledged(&mut self, number: u8, record: Append) {
        let Append::Outcome(outcome) = record else { return };
        let key = (outcome.request_id.clone(), outcome.run.attempt);
        let worker = &mut self.workers[usize::from(number)];
        worker.ledger.release(&key, self.now);
        worker.changed = true;
        self.send_final(number, &outcome);
        self.wake(Actor::Worker(number), self.now);
    }

    fn send_final(&mut self, number: u8, outcome: &Outcome) {
        let worker = &mut self.workers[usize::from(number)];
        let key = (outcome.request_id.clone(), outcome.run.attempt);
        let Some(running) = worker.runs.get_mut(&key) else {
            return;
        };
        let streamed = running.work.request.stream;
        let sent = if streamed { running.produced } else { 0 };
        let last = vec![last_frame(outcome, sent, !streamed)];
        running.frames.truncate(sent as usize);
        running.frames.extend(last.clone());
        let reply_to = running.work.request.reply_to.clone();
        self.send_frames(Actor::Worker(number), reply_to.as_deref(), last);
    }

    pub(crate) fn worker_hears(&mut self, number: u8, message: Message) {
        let worker = &mut self.workers[usize::from(number)];
        match message {
            Message::Revoked(epoch, revoked) if epoch == worker.epoch => {
                let Revoked {
                    request_id,
                    attempt,
                    scheduler_epoch,
                } = *revoked;
                let ledger = &mut worker.ledger;
                ledger.revoke(&request_id, attempt, scheduler_epoch, self.now);
            }
            Message::Cancel(cancel) => worker.cancelled.push(cancel.request_id),
            Message::AskReplay(id, run, from_seq, asker) => {
                let frames = worker
                    .runs
                    .get(&(id, run.attempt))
                    .filter(|_| run.epoch == worker.epoch);
                let frames = frames.map(|running| &running.frames).into_iter().flatten();
                let frames = frames.filter(|frame| frame.seq >= from_seq).cloned().collect();
                self.send(
                    Actor::Worker(number),
                    asker.ingress,
                    Message::Replay(asker, frames),
                );
            }
            _ => {}
        }
    }
}
