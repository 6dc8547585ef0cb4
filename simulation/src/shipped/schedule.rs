//! What happens in one run: who asks what when, and which process is killed. Follows from the seed.

use std::fmt;
use std::time::Duration;

use relay_runner::Chance;
use serde_json::{Value, json};

/// Longest time between two requests, milliseconds.
const BETWEEN_MS: u32 = 150;
/// Processes are up by then.
const BEGIN_MS: u32 = 1_500;
/// Most requests.
const MOST_CALLS: u32 = 24;
/// Most processes that are killed.
const MOST_KILLS: u32 = 3;
/// Longest time until a killed process is back, milliseconds.
const AWAY_MS: u32 = 4_000;

/// The processes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// One of two.
    Ingress(u8),
    /// The only one.
    Planner,
    /// The only one.
    CacheService,
    /// One of two.
    Scheduler(u8),
    /// Two of the pool `default`, one of `spare`.
    Worker(u8),
    /// The only one.
    TraceSink,
}

impl Actor {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 10] = [
        Self::TraceSink,
        Self::Planner,
        Self::CacheService,
        Self::Scheduler(1),
        Self::Scheduler(2),
        Self::Worker(1),
        Self::Worker(2),
        Self::Worker(3),
        Self::Ingress(1),
        Self::Ingress(2),
    ];
}

impl Actor {
    /// Which service it is of.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Ingress(_) => "ingress",
            Self::Planner => "planner",
            Self::CacheService => "cache-service",
            Self::Scheduler(_) => "scheduler",
            Self::Worker(_) => "worker",
            Self::TraceSink => "trace-sink",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingress(number) | Self::Scheduler(number) | Self::Worker(number) => {
                write!(f, "{}-{number}", self.kind())
            }
            Self::Planner | Self::CacheService | Self::TraceSink => f.write_str(self.kind()),
        }
    }
}

/// One request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which ingress is asked.
    pub ingress: u8,
    /// Who asks.
    pub tenant: u32,
    /// What for: equal ones meet in the cache.
    pub prompt: u32,
    /// Which model.
    pub model: &'static str,
    /// Most tokens.
    pub max_tokens: u32,
    /// Whether the answer comes as events.
    pub stream: bool,
    /// Under which idempotency key.
    pub key: Option<u32>,
    /// For how long.
    pub deadline: Duration,
    /// After how long the client goes, whatever it has got.
    pub leaves: Option<Duration>,
}

impl Call {
    /// What it sends.
    pub(super) fn body(&self) -> Value {
        json!({
            "model": self.model,
            "messages": [{ "role": "user", "content": format!("prompt {}", self.prompt) }],
            "max_tokens": self.max_tokens,
            "stream": self.stream,
        })
    }
}

/// One happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A client asks.
    Ask(Call),
    /// A process dies as by `kill -9`, and is started again after a while.
    Kill(Actor, Duration),
}

/// What happens, and when after the beginning.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What it follows from.
    pub seed: u64,
    /// In the order of time.
    pub events: Vec<(Duration, Op)>,
}

impl Schedule {
    /// The schedule of `seed`. Every fourth one has no fault.
    pub fn of(seed: u64) -> Self {
        let chance = Chance::seeded(seed ^ 0x5eed);
        let mut events = Vec::new();
        let mut at = BEGIN_MS;
        for _ in 0..(6 + below(&chance, MOST_CALLS - 5)) {
            at += below(&chance, BETWEEN_MS + 1);
            events.push((ms(at), Op::Ask(call(&chance))));
        }
        if !seed.is_multiple_of(4) {
            for _ in 0..=below(&chance, MOST_KILLS) {
                // While requests are asked, or just behind the last one.
                let when = BEGIN_MS + below(&chance, at - BEGIN_MS + 500);
                let actor = Actor::ALL[below(&chance, 10) as usize];
                events.push((ms(when), Op::Kill(actor, ms(below(&chance, AWAY_MS)))));
            }
        }
        events.sort_by_key(|(at, _)| *at);
        Self { seed, events }
    }

    /// Whether nothing goes wrong in it.
    pub fn is_calm(&self) -> bool {
        self.events.iter().all(|(_, op)| matches!(op, Op::Ask(_)))
    }
}

fn call(chance: &Chance) -> Call {
    let one_in = |of: u32| below(chance, of) == 0;
    Call {
        ingress: 1 + u8::from(one_in(2)),
        tenant: below(chance, 3),
        prompt: below(chance, 12),
        model: if one_in(12) { "absent" } else { "model" },
        max_tokens: 1 + below(chance, 10),
        stream: one_in(2),
        key: one_in(4).then(|| below(chance, 3)),
        deadline: ms(if one_in(6) {
            200 + below(chance, 2_000)
        } else {
            10_000 + below(chance, 10_000)
        }),
        leaves: one_in(8).then(|| ms(below(chance, 1_500))),
    }
}

fn below(chance: &Chance, bound: u32) -> u32 {
    chance.draw::<u32>() % bound
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}
