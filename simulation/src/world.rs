//! Virtual time: one queue of happenings, one source of chance, and the processes they happen to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use relay_lifecycle::life::{Event as LifeEvent, State};
use relay_schemas::{Frame, RequestId, TimestampMs};

use crate::cache_service::CacheService;
use crate::client::Client;
use crate::ingress::Ingress;
use crate::log::{Append, Log};
use crate::network::{Message, Network};
use crate::planner::Planner;
use crate::schedule::{Actor, Event, Schedule, What};
use crate::scheduler::Scheduler;
use crate::sink::TraceSink;
use crate::worker::Worker;

/// After the last event everything is healed, and whatever was accepted must end within its deadline and this long.
const GRACE_MS: i64 = 60_000;
/// How long after the last fault records and messages may still be on their way.
const QUIET_MS: i64 = 1_000;

/// Rules that the simulation can be told to break, to show that it would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Everything is done right.
    None,
    /// Workers send the final frame without waiting for the outcome to be acknowledged.
    FinalBeforeOutcome,
    /// Workers run whatever they read, whoever it names.
    IgnoreLeases,
    /// The sink keeps the last outcome instead of the first.
    LastOutcomeWins,
}

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Something is done to the system.
    Event(What),
    /// A process looks at its clock and its inputs.
    Wake(Actor, i64),
    /// A record reaches the log; its writer, in that life, is told.
    Append(Actor, i64, Append),
    /// The log has acknowledged.
    Acknowledged(Actor, i64, Append),
    /// A control message arrives.
    Arrive(Actor, Message),
    /// A process starts.
    Start(Actor),
}

/// One life of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Life {
    /// When it started; 0 while it is dead.
    pub epoch: i64,
    /// Until when it stands still.
    pub frozen_until: TimestampMs,
    /// The wakeup that is already on its way.
    pub wake_at: Option<TimestampMs>,
}

/// Whether it is a process's turn to do something.
enum Turn {
    Now,
    /// It stands still until then.
    Later(TimestampMs),
    /// That life is over.
    Never,
}

/// Everything there is.
pub struct World {
    pub(crate) now: TimestampMs,
    pub(crate) random: SmallRng,
    pub(crate) log: Log,
    pub(crate) network: Network,
    pub(crate) lives: [Life; Actor::ALL.len()],
    pub(crate) clients: Vec<Client>,
    pub(crate) ingresses: [Ingress; 2],
    pub(crate) planner: Planner,
    pub(crate) cache_service: CacheService,
    pub(crate) schedulers: [Scheduler; 2],
    pub(crate) workers: [Worker; 2],
    pub(crate) sink: TraceSink,
    pub(crate) sabotage: Sabotage,
    pub(crate) violations: Vec<String>,
    /// Where each request stands.
    pub(crate) requests: BTreeMap<RequestId, State>,
    /// Which attempt at which request ran on which worker, in which of its lives.
    pub(crate) runs: Vec<(RequestId, u32, u8, i64)>,
    /// Whether the schedule disturbs what leases rest upon: schedulers, workers, or the control seam.
    pub(crate) leases_disturbed: bool,
    /// When the last event was, or its fault was over.
    pub(crate) healed_at: TimestampMs,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    slow_until: TimestampMs,
    history: Option<Vec<String>>,
}

struct Due {
    at: TimestampMs,
    order: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    /// The world before the first event of `schedule`.
    pub fn new(schedule: &Schedule, sabotage: Sabotage, with_history: bool) -> Self {
        let mut world = Self {
            now: TimestampMs(1_000_000),
            random: SmallRng::seed_from_u64(schedule.seed ^ 0x5eed),
            log: Log::default(),
            network: Network::default(),
            lives: Default::default(),
            clients: Vec::new(),
            ingresses: [Ingress::new(0), Ingress::new(1)],
            planner: Planner::default(),
            cache_service: CacheService::default(),
            schedulers: [Scheduler::new(0, 0), Scheduler::new(1, 0)],
            workers: [Worker::new(0, 0), Worker::new(1, 0)],
            sink: TraceSink::default(),
            sabotage,
            violations: Vec::new(),
            requests: BTreeMap::new(),
            runs: Vec::new(),
            leases_disturbed: schedule.events.iter().any(|event| event.what.disturbs_leases()),
            healed_at: TimestampMs(1_000_000),
            queue: BinaryHeap::new(),
            order: 0,
            slow_until: TimestampMs(0),
            history: with_history.then(Vec::new),
        };
        for actor in Actor::ALL {
            world.start(actor);
        }
        for Event { at, what } in &schedule.events {
            world.push(world.now.plus_ms(*at), Happening::Event(*what));
            world.healed_at = world.healed_at.max(world.now.plus_ms(at + what.lasting_ms()));
        }
        world
    }

    /// Runs to the end: until nothing is left to do, or until long after every deadline.
    pub fn run(&mut self) {
        let end = self.healed_at.plus_ms(20_000 + GRACE_MS);
        while let Some(Reverse(due)) = self.queue.pop() {
            self.now = due.at;
            if self.now > end || self.quiet() {
                break;
            }
            self.happen(due.what, due.order);
        }
    }

    /// All faults are over, all that was accepted has ended, all clients know, and the leader has settled.
    fn quiet(&self) -> bool {
        self.now > self.healed_at.plus_ms(QUIET_MS)
            && self.clients.iter().all(Client::is_done)
            && self.leader().is_some_and(|leader| leader.has_settled(&self.log))
            && self
                .log
                .requests
                .iter()
                .all(|(_, request)| self.sink.winners.contains_key(&request.request_id))
    }

    /// What happened, line by line, where it was asked for.
    pub fn history(&self) -> &[String] {
        self.history.as_deref().unwrap_or_default()
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(history) = &mut self.history {
            history.push(format!("{:>7} ms  {}", self.now.0 - 1_000_000, what()));
        }
    }

    pub(crate) fn push(&mut self, at: TimestampMs, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Due {
            at,
            order: self.order,
            what,
        }));
    }

    pub(crate) fn life(&self, actor: Actor) -> Life {
        self.lives[actor.index()]
    }

    /// Wakes `actor` at `at`, unless it wakes earlier anyway.
    pub(crate) fn wake(&mut self, actor: Actor, at: TimestampMs) {
        let at = at.max(self.now);
        let life = &mut self.lives[actor.index()];
        if life.epoch == 0 || life.wake_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        life.wake_at = Some(at);
        let epoch = life.epoch;
        self.push(at, Happening::Wake(actor, epoch));
    }

    /// Sends a record to the log. It lands even if its writer dies meanwhile, unless it dies right away.
    pub(crate) fn append(&mut self, writer: Actor, record: Append) {
        let delay = self.log_delay();
        let epoch = self.life(writer).epoch;
        self.push(self.now.plus_ms(delay), Happening::Append(writer, epoch, record));
    }

    fn log_delay(&mut self) -> i64 {
        let most = if self.now < self.slow_until { 800 } else { 3 };
        self.random.random_range(0..=most)
    }

    fn happen(&mut self, what: Happening, order: u64) {
        match what {
            Happening::Event(event) => self.event(event),
            Happening::Start(actor) => self.start(actor),
            Happening::Wake(actor, epoch) => {
                match self.turn(actor, epoch) {
                    Turn::Now => {}
                    Turn::Later(at) => return self.push(at, Happening::Wake(actor, epoch)),
                    Turn::Never => return,
                }
                let life = &mut self.lives[actor.index()];
                if life.wake_at == Some(self.now) || life.wake_at.is_some_and(|at| at < self.now) {
                    life.wake_at = None;
                }
                self.step(actor);
            }
            Happening::Append(writer, epoch, record) => self.land(writer, epoch, record),
            Happening::Acknowledged(writer, epoch, record) => {
                match self.turn(writer, epoch) {
                    Turn::Now => {}
                    Turn::Later(at) => return self.push(at, Happening::Acknowledged(writer, epoch, record)),
                    Turn::Never => return,
                }
                self.acknowledged(writer, record);
            }
            Happening::Arrive(actor, message) => {
                let life = self.life(actor);
                if life.epoch == 0 {
                    return;
                }
                if life.frozen_until > self.now {
                    // What came while it stood still is read in the order in which it came.
                    let at = life.frozen_until;
                    return self.queue.push(Reverse(Due {
                        at,
                        order,
                        what: Happening::Arrive(actor, message),
                    }));
                }
                self.arrive(actor, message);
            }
        }
    }

    fn turn(&self, actor: Actor, epoch: i64) -> Turn {
        let life = self.life(actor);
        if life.epoch != epoch {
            Turn::Never
        } else if life.frozen_until > self.now {
            Turn::Later(life.frozen_until)
        } else {
            Turn::Now
        }
    }

    fn event(&mut self, event: What) {
        self.note(|| format!("--- {event:?}"));
        match event {
            What::Ask {
                streamed,
                tokens,
                within,
                question,
            } => self.ask(streamed, tokens, within, question),
            What::Leave(client) => self.leave(usize::from(client)),
            What::Crash(actor, dead_for) => {
                self.lives[actor.index()] = Life::default();
                if let Actor::Ingress(number) = actor {
                    self.break_connections(number);
                }
                self.push(self.now.plus_ms(dead_for), Happening::Start(actor));
            }
            What::Zombie(actor, frozen_for) => {
                let life = &mut self.lives[actor.index()];
                life.frozen_until = life.frozen_until.max(self.now.plus_ms(frozen_for));
            }
            What::Rough(lasting) => self.network.rough_until = self.now.plus_ms(lasting),
            What::Partition(actor, lasting) => self.network.cut(actor, self.now.plus_ms(lasting)),
            What::Slow(lasting) => self.slow_until = self.now.plus_ms(lasting),
            What::Duplicate(actor) => self.reread(actor),
        }
    }

    fn start(&mut self, actor: Actor) {
        if self.life(actor).epoch != 0 {
            return;
        }
        let epoch = self.now.0;
        self.lives[actor.index()] = Life {
            epoch,
            ..Life::default()
        };
        match actor {
            Actor::Ingress(number) => self.ingresses[usize::from(number)] = Ingress::new(number),
            Actor::Planner => self.planner.crash(),
            Actor::CacheService => self.cache_service.crash(),
            Actor::Scheduler(number) => self.schedulers[usize::from(number)] = Scheduler::new(number, epoch),
            Actor::Worker(number) => {
                let from = self.random.random_range(0..=4);
                self.workers[usize::from(number)] = Worker::restarted(number, epoch, &self.log, from);
            }
            // Its position is committed with its rows; a step back is what `reread` is for.
            Actor::TraceSink => {}
        }
        self.wake(actor, self.now);
    }

    /// A rebalance: read again what was read already.
    fn reread(&mut self, actor: Actor) {
        let back = self.random.random_range(1..4);
        match actor {
            Actor::Planner => self.planner.reread(back),
            Actor::CacheService => self.cache_service.reread(back),
            Actor::TraceSink => self.sink.reread(back),
            Actor::Worker(number) => self.workers[usize::from(number)].reread(back),
            Actor::Ingress(_) | Actor::Scheduler(_) => return,
        }
        self.wake(actor, self.now);
    }

    fn step(&mut self, actor: Actor) {
        match actor {
            Actor::Ingress(number) => self.step_ingress(number),
            Actor::Planner => self.step_planner(),
            Actor::CacheService => self.step_cache_service(),
            Actor::Scheduler(number) => self.step_scheduler(number),
            Actor::Worker(number) => self.step_worker(number),
            Actor::TraceSink => self.step_sink(),
        }
    }

    fn land(&mut self, writer: Actor, epoch: i64, record: Append) {
        // What was still in the client's buffer when it died never left.
        if self.life(writer).epoch != epoch && self.random.random_bool(0.3) {
            return;
        }
        let now = self.now;
        let (offset, readers): (i64, &[Actor]) = match record.clone() {
            Append::Request(request) => (self.log.requests.append(*request, now), &[Actor::Planner]),
            Append::Planned(planned) => (self.log.planned.append(*planned, now), &[Actor::CacheService]),
            Append::Ready(ready) => (
                self.log.ready.append(*ready, now),
                &[Actor::Scheduler(0), Actor::Scheduler(1)],
            ),
            Append::Work(work, ready_at) => {
                let short = work.queueing.lane == relay_schemas::Lane::Short;
                let topic = if short {
                    &mut self.log.short
                } else {
                    &mut self.log.long
                };
                let all = &[
                    Actor::Worker(0),
                    Actor::Worker(1),
                    Actor::Scheduler(0),
                    Actor::Scheduler(1),
                ];
                (topic.append((*work, ready_at), now), all)
            }
            Append::Outcome(outcome) => {
                let all = &[
                    Actor::TraceSink,
                    Actor::CacheService,
                    Actor::Scheduler(0),
                    Actor::Scheduler(1),
                ];
                (self.log.outcomes.append(*outcome, now), all)
            }
            Append::Scheduler(record) => (
                self.log.scheduler.append(*record, now),
                &[Actor::Scheduler(0), Actor::Scheduler(1)],
            ),
        };
        self.note(|| format!("log: {}", describe(&record, offset)));
        if let Some((id, event)) = event_of(&record) {
            self.lives_on(&id, event);
        }
        for reader in readers {
            let soon = self.random.random_range(0..3);
            self.wake(*reader, now.plus_ms(soon));
        }
        let delay = self.log_delay();
        self.push(now.plus_ms(delay), Happening::Acknowledged(writer, epoch, record));
    }

    /// Something happens to a request: it must be allowed to.
    pub(crate) fn lives_on(&mut self, id: &RequestId, event: LifeEvent) {
        let state = self.requests.entry(id.clone()).or_insert(State::New);
        match state.after(event) {
            Ok(next) => *state = next,
            Err(violation) => self.violations.push(format!("{id}: {violation}")),
        }
    }

    fn acknowledged(&mut self, writer: Actor, record: Append) {
        match writer {
            Actor::Ingress(_) | Actor::TraceSink => {}
            Actor::Planner => self.planner_acknowledged(record),
            Actor::CacheService => self.cache_service_acknowledged(record),
            Actor::Scheduler(number) => self.scheduler_acknowledged(number, record),
            Actor::Worker(number) => self.worker_acknowledged(number, record),
        }
    }

    fn arrive(&mut self, actor: Actor, message: Message) {
        match actor {
            Actor::Ingress(number) => self.ingress_hears(number, message),
            Actor::Scheduler(number) => self.scheduler_hears(number, message),
            Actor::Worker(number) => self.worker_hears(number, message),
            Actor::TraceSink => self.sink_hears(message),
            Actor::Planner | Actor::CacheService => {}
        }
    }

    /// Frames to the ingress that waits.
    pub(crate) fn send_frames(&mut self, from: Actor, reply_to: Option<&str>, frames: Vec<Frame>) {
        let Some(ingress) = reply_to.and_then(ingress_of) else {
            return;
        };
        for frame in frames {
            self.send(from, ingress, Message::Frame(Box::new(frame)));
        }
    }
}

/// `reply_to` is the ingress's number.
pub(crate) fn ingress_of(reply_to: &str) -> Option<Actor> {
    Some(Actor::Ingress(reply_to.parse().ok()?))
}

/// What a record says of a request.
fn event_of(record: &Append) -> Option<(RequestId, LifeEvent)> {
    let (id, event) = match record {
        Append::Request(request) => (&request.request_id, LifeEvent::Accept),
        Append::Planned(planned) => (&planned.request.request_id, LifeEvent::Plan),
        Append::Ready(ready) => (&ready.request.request_id, LifeEvent::Queue),
        Append::Work(work, _) => (&work.request.request_id, LifeEvent::Lease(work.lease.attempt)),
        Append::Outcome(outcome) => (&outcome.request_id, LifeEvent::end_of(outcome)),
        Append::Scheduler(_) => return None,
    };
    Some((id.clone(), event))
}

fn describe(record: &Append, offset: i64) -> String {
    let (topic, id): (&str, &RequestId) = match record {
        Append::Request(request) => ("requests", &request.request_id),
        Append::Planned(planned) => ("planned", &planned.request.request_id),
        Append::Ready(ready) => ("ready", &ready.request.request_id),
        Append::Work(work, _) => {
            let lease = &work.lease;
            let id = &work.request.request_id;
            return format!(
                "work[{offset}] {id} attempt {} for {} under {}",
                lease.attempt, lease.worker, lease.scheduler_epoch
            );
        }
        Append::Outcome(outcome) => {
            let run = &outcome.run;
            let id = &outcome.request_id;
            return format!(
                "outcomes[{offset}] {id} {:?} by {:?} {} attempt {}",
                outcome.status, run.service, run.instance, run.attempt
            );
        }
        Append::Scheduler(record) => {
            return format!("scheduler[{offset}] {:?} by {}", record.kind, record.scheduler);
        }
    };
    format!("{topic}[{offset}] {id}")
}
