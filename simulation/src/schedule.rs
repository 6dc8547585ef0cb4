//! What happens in one simulated run: requests and faults, each at an instant. A schedule follows from its seed, prints, and can be cut down.

use std::fmt;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Most events of a schedule.
pub const MOST: usize = 200;
/// By how much a clock is set at most, milliseconds.
const MOST_STEP_MS: i64 = 6_000;

/// Everything that is done to the system in one run.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Also seeds delays and losses during the run.
    pub seed: u64,
    /// In order of time.
    pub events: Vec<Event>,
}

/// Something done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since the start.
    pub at: i64,
    /// What.
    pub op: Op,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the services are named in docs/ARCHITECTURE.md; two instances of what competes, and one of each in a second pool"
)]
pub enum Actor {
    Ingress(u8),
    Planner,
    CacheService,
    Scheduler(u8),
    Worker(u8),
    TraceSink,
}

impl Actor {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ingress(0),
        Self::Ingress(1),
        Self::Planner,
        Self::CacheService,
        Self::Scheduler(0),
        Self::Scheduler(1),
        Self::Scheduler(2),
        Self::Worker(0),
        Self::Worker(1),
        Self::Worker(2),
        Self::TraceSink,
    ];

    /// The schedulers of a pool: two of the first, one of the second.
    pub const SCHEDULERS: [&[Self]; 2] = [&[Self::Scheduler(0), Self::Scheduler(1)], &[Self::Scheduler(2)]];

    /// The workers of a pool, likewise.
    pub const WORKERS: [&[Self]; 2] = [&[Self::Worker(0), Self::Worker(1)], &[Self::Worker(2)]];

    /// The pool of the scheduler or worker of this number.
    pub fn pool(number: u8) -> usize {
        usize::from(number == 2)
    }

    /// From 0, for tables.
    pub fn index(self) -> usize {
        match self {
            Self::Ingress(number) => usize::from(number),
            Self::Planner => 2,
            Self::CacheService => 3,
            Self::Scheduler(number) => 4 + usize::from(number),
            Self::Worker(number) => 7 + usize::from(number),
            Self::TraceSink => 10,
        }
    }
}

/// Requests and the twelve faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A client asks.
    Ask {
        /// For server-sent events.
        streamed: bool,
        /// Output tokens of its answer.
        tokens: u8,
        /// Milliseconds until its deadline.
        within: i64,
        /// Which question; equal questions may be answered from the cache.
        question: u8,
    },
    /// A client asks again what an earlier one asked under its idempotency key, the n-th of those that have one.
    Repeat {
        /// Which.
        earlier: u8,
        /// For server-sent events, whatever the earlier one wanted.
        streamed: bool,
        /// Milliseconds until its deadline.
        within: i64,
    },
    /// A client asks something else under the idempotency key of an earlier one, the n-th of those that have one.
    Reuse {
        /// Which.
        earlier: u8,
        /// For server-sent events.
        streamed: bool,
        /// Milliseconds until its deadline.
        within: i64,
    },
    /// The client of the n-th request goes away (late, where the request has been dispatched or has ended).
    Leave(u8),
    /// A process dies and starts again.
    Crash(Actor, i64),
    /// A process stands still and then goes on as if nothing had happened.
    Zombie(Actor, i64),
    /// Control messages are lost, repeated and reordered for a while.
    Rough(i64),
    /// A process is cut off from the control seam for a while.
    Partition(Actor, i64),
    /// The log takes long to acknowledge, and to hand on, for a while.
    Slow(i64),
    /// A consumer reads again what it has read: a rebalance.
    Duplicate(Actor),
    /// The next record that a stage reads is lost between it and the next stage; one that a scheduler reads is damaged in the log.
    Lose(Actor),
    /// The log stands still, for all processes at once: nothing is written, acknowledged or read.
    Pause(i64),
    /// The wall clock of a process, or of all, is set by so many milliseconds, forward above zero.
    SetClock(Option<Actor>, i64),
    /// A worker's model cannot be loaded for a while: every run fails before it begins, and its status tells or not.
    Break {
        /// Which worker.
        worker: u8,
        /// Whether its status says so.
        tells: bool,
    },
}

/// How long a model stays broken, milliseconds.
pub const BROKEN_MS: i64 = 3_000;

impl Schedule {
    /// The schedule of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        // Mostly short: most faults need few events, and short schedules are cheap. Some are as long as allowed.
        let size = match random.random_range(0..10) {
            0..6 => random.random_range(2..20),
            6..9 => random.random_range(20..60),
            _ => random.random_range(60..=MOST),
        };
        let span = 1_000 + size as i64 * 150;
        let mut events: Vec<Event> = (0..size)
            .map(|_| Event {
                at: random.random_range(0..span),
                op: Op::draw(&mut random),
            })
            .collect();
        events.sort_by_key(|event| event.at);
        Self { seed, events }
    }
}

impl Op {
    /// How long its effect lasts, milliseconds.
    pub fn lasting_ms(self) -> i64 {
        match self {
            Self::Crash(_, ms)
            | Self::Zombie(_, ms)
            | Self::Partition(_, ms)
            | Self::Rough(ms)
            | Self::Slow(ms)
            | Self::Pause(ms) => ms,
            Self::Break { .. } => BROKEN_MS,
            Self::Ask { .. }
            | Self::Repeat { .. }
            | Self::Reuse { .. }
            | Self::Leave(_)
            | Self::Duplicate(_)
            | Self::Lose(_)
            | Self::SetClock(..) => 0,
        }
    }

    /// By how much a deadline may be taken for later, or an end for later than it was, because of it, milliseconds.
    pub fn shifts_ms(self) -> i64 {
        match self {
            Self::SetClock(_, by_ms) => by_ms.abs(),
            _ => 0,
        }
    }

    /// Whether runs may rightly be lost because of it: it disturbs workers, those who lease to them, or the seam on which they show
    /// themselves. That the log is away disturbs none of these.
    pub fn loses_runs(self) -> bool {
        self.disturbs_leases() && !matches!(self, Self::Slow(_) | Self::Pause(_))
    }

    /// Whether leases may rightly be doubted because of it.
    pub fn disturbs_leases(self) -> bool {
        match self {
            Self::Crash(actor, _) | Self::Zombie(actor, _) | Self::Partition(actor, _) => {
                matches!(actor, Actor::Scheduler(_) | Actor::Worker(_))
            }
            Self::Rough(_) | Self::Slow(_) | Self::Pause(_) => true,
            Self::Ask { .. }
            | Self::Repeat { .. }
            | Self::Reuse { .. }
            | Self::Leave(_)
            | Self::Duplicate(_)
            | Self::Lose(_)
            | Self::SetClock(..)
            | Self::Break { .. } => false,
        }
    }

    fn draw(random: &mut SmallRng) -> Self {
        let actor = Actor::ALL[random.random_range(0..Actor::ALL.len())];
        match random.random_range(0..100) {
            0..41 => Self::Ask {
                streamed: random.random_bool(0.5),
                tokens: random.random_range(1..12),
                within: random.random_range(300..20_000),
                question: random.random_range(0..12),
            },
            41..43 => Self::Repeat {
                earlier: random.random_range(0..10),
                streamed: random.random_bool(0.5),
                within: random.random_range(300..20_000),
            },
            43..45 => Self::Reuse {
                earlier: random.random_range(0..10),
                streamed: random.random_bool(0.5),
                within: random.random_range(300..20_000),
            },
            45..55 => Self::Leave(random.random_range(0..40)),
            55..67 => Self::Crash(actor, random.random_range(10..5_000)),
            67..76 => Self::Zombie(actor, random.random_range(10..6_000)),
            76..83 => Self::Rough(random.random_range(100..3_000)),
            83..90 => Self::Partition(actor, random.random_range(100..5_000)),
            90..93 => Self::Slow(random.random_range(100..3_000)),
            93..94 => Self::Pause(random.random_range(500..8_000)),
            94..96 => Self::SetClock(
                random.random_bool(0.5).then_some(actor),
                random.random_range(-MOST_STEP_MS..=MOST_STEP_MS),
            ),
            96 => Self::Duplicate(actor),
            // Nothing more is drawn here, so that schedules without it stay what they were.
            97 => Self::Break {
                worker: (actor.index() % 3) as u8,
                tells: actor.index().is_multiple_of(2),
            },
            _ => Self::Lose(actor),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms  {:?}", self.at, self.op)
    }
}
