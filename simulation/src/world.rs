//! Virtual time: one queue of happenings, one source of chance, and the processes they happen to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use relay_lifecycle::life::State;
use relay_schemas::{Frame, RequestId, TimestampMs};

use crate::cache_service::CacheService;
use crate::client::Client;
use crate::clocks::Clocks;
use crate::happening::{Due, Happening};
use crate::ingress::Ingress;
use crate::log::{Append, Log, POOLS};
use crate::network::{Message, Network};
use crate::planner::Planner;
use crate::schedule::{Actor, Event, Op, Schedule};
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
    /// Ingresses take a run's word for how it ended.
    BelieveFinals,
    /// Workers run whatever they read, whoever it names.
    IgnoreLeases,
    /// The sink keeps the last outcome instead of the first.
    LastOutcomeWins,
    /// The cache is filled from whatever completed, also where another outcome had won.
    FillFromLosers,
    /// What is accepted and then lost is ended by nobody.
    NeverSweep,
    /// Ingresses do not look which body an answer under a key belongs to.
    ForgetBodies,
    /// A repeat runs anew whatever the first came to.
    FreeKeys,
    /// Schedulers measure by their wall clocks how long something takes.
    TrustWallClocks,
    /// A worker ends what it could not begin, instead of giving it back.
    FailUnbegun,
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
    pub(crate) clocks: Clocks,
    pub(crate) lives: [Life; Actor::ALL.len()],
    pub(crate) clients: Vec<Client>,
    pub(crate) ingresses: [Ingress; 2],
    /// What the sweepers' group has committed.
    pub(crate) swept_to: i64,
    pub(crate) planner: Planner,
    pub(crate) cache_service: CacheService,
    pub(crate) schedulers: [Scheduler; 3],
    pub(crate) workers: [Worker; 3],
    pub(crate) sink: TraceSink,
    pub(crate) sabotage: Sabotage,
    pub(crate) violations: Vec<String>,
    /// Where each request stands.
    pub(crate) requests: BTreeMap<RequestId, State>,
    /// Which attempt at which request ran on which worker, in which of its lives.
    pub(crate) runs: Vec<(RequestId, u32, u8, i64)>,
    /// Requests of which a run was given back: they may run again.
    pub(crate) given_back: BTreeSet<RequestId>,
    /// Whether the schedule leaves a worker of each pool whose model works.
    pub(crate) one_works: [bool; 2],
    /// Whether the schedule disturbs what leases rest upon: schedulers, workers, or the control seam.
    pub(crate) leases_disturbed: bool,
    /// Whether the schedule may rightly lose runs.
    pub(crate) runs_lost: bool,
    /// By how much clocks are set in all, milliseconds.
    pub(crate) shifted_ms: i64,
    /// When the last event was, or its fault was over.
    pub(crate) healed_at: TimestampMs,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    pub(crate) slow_until: TimestampMs,
    /// Until when the log stands still.
    pub(crate) log_back_at: TimestampMs,
    history: Option<Vec<String>>,
}

impl World {
    /// The world before the first event of `schedule`.
    pub fn new(schedule: &Schedule, sabotage: Sabotage, with_history: bool) -> Self {
        let mut world = Self {
            now: TimestampMs(1_000_000),
            random: SmallRng::seed_from_u64(schedule.seed ^ 0x5eed),
            log: Log::default(),
            network: Network::default(),
            clocks: Clocks::default(),
            lives: Default::default(),
            clients: Vec::new(),
            ingresses: [Ingress::new(0, 0, 0), Ingress::new(1, 0, 0)],
            swept_to: 0,
            planner: Planner::default(),
            cache_service: CacheService::default(),
            schedulers: [0, 1, 2].map(|number| Scheduler::new(number, 0)),
            workers: [0, 1, 2].map(|number| Worker::new(number, 0)),
            sink: TraceSink::default(),
            sabotage,
            violations: Vec::new(),
            requests: BTreeMap::new(),
            runs: Vec::new(),
            given_back: BTreeSet::new(),
            one_works: [0, 1].map(|pool| {
                Actor::WORKERS[pool].iter().any(|worker| {
                    let breaks = |op| matches!(op, Op::Break { worker: number, .. } if Actor::Worker(number) == *worker);
                    !schedule.events.iter().any(|event| breaks(event.op))
                })
            }),
            leases_disturbed: schedule.events.iter().any(|event| event.op.disturbs_leases()),
            runs_lost: schedule.events.iter().any(|event| event.op.loses_runs()),
            shifted_ms: schedule.events.iter().map(|event| event.op.shifts_ms()).sum(),
            healed_at: TimestampMs(1_000_000),
            queue: BinaryHeap::new(),
            order: 0,
            slow_until: TimestampMs(0),
            log_back_at: TimestampMs(0),
            history: with_history.then(Vec::new),
        };
        for actor in Actor::ALL {
            world.start(actor);
        }
        for Event { at, op } in &schedule.events {
            world.push(world.now.plus_ms(*at), Happening::Event(*op));
            world.healed_at = world.healed_at.max(world.now.plus_ms(at + op.lasting_ms()));
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
            && (0..POOLS.len()).all(|pool| {
                self.leader(pool)
                    .is_some_and(|leader| leader.has_settled(&self.log))
            })
            && self
                .log
                .requests
                .iter()
                .all(|(_, request)| self.sink.traces.contains_key(&request.request_id))
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
            Happening::Append(writer, epoch, record) if !self.log_moves() => {
                self.push(self.log_back_at, Happening::Append(writer, epoch, record));
            }
            Happening::Acknowledged(writer, epoch, record) if !self.log_moves() => {
                self.push(self.log_back_at, Happening::Acknowledged(writer, epoch, record));
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

    /// Whether the log takes and gives records.
    pub(crate) fn log_moves(&self) -> bool {
        self.log_back_at <= self.now
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

    fn step(&mut self, actor: Actor) {
        if !self.log_moves() {
            self.wake(actor, self.log_back_at);
        }
        match actor {
            Actor::Ingress(number) => self.step_ingress(number),
            Actor::Planner => self.step_planner(),
            Actor::CacheService => self.step_cache_service(),
            Actor::Scheduler(number) => self.step_scheduler(number),
            Actor::Worker(number) => self.step_worker(number),
            Actor::TraceSink => self.step_sink(),
        }
    }

    fn acknowledged(&mut self, writer: Actor, record: Append) {
        match writer {
            Actor::Ingress(number) => {
                if let Append::Outcome(_) = record {
                    self.ingresses[usize::from(number)].sweeper.acknowledged();
                    self.wake(writer, self.now);
                }
            }
            Actor::TraceSink => {}
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
