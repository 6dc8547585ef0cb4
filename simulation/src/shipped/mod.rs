//! The services that ship, whole, on one thread and in a time that is the simulation's: each a process of its own on simulated seams, under
//! which lies the log that ships, on a simulated disk. One seed is one run, to the byte.
//!
//! `schedule` is what happens, `world` lets it happen, `stand` is what processes stand on and how they live and die, `services` how each is started,
//! `client` who asks. `log` and `control` write to the `trace` what goes over the seams, `time` is the time that passes. `evidence` reads what
//! is left at the end, and `check` says what of it does not hold.

mod check;
mod client;
mod control;
mod evidence;
mod log;
mod schedule;
mod services;
mod stand;
mod time;
mod trace;
mod world;

use std::collections::BTreeMap;

use self::evidence::Evidence;
use relay_schemas::TimestampMs;

pub use self::schedule::{Actor, Call, Op, Schedule};
pub use self::trace::difference;
use self::world::World;

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// What happened at the seams, line by line.
    pub trace: String,
    /// What does not hold. Empty is what is promised.
    pub wrong: Vec<String>,
    /// How many requests that were on their way when a process was killed ended how; under `nothing` those of which none was.
    pub met: BTreeMap<(&'static str, &'static str), u32>,
}

/// Runs `schedule`.
///
/// # Panics
/// If no runtime can be had.
pub fn run(schedule: &Schedule) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(async {
        let world = World::new(schedule.seed);
        let (evidence, told) = world.run(schedule).await;
        Ran {
            wrong: check::check(schedule, &evidence, &told, &world.stand.scripts.begun()),
            trace: world.stand.trace.text(),
            met: met(&evidence, &world.killed()),
        }
    })
}

/// Which process was killed while a request was on its way, and how that ended.
fn met(evidence: &Evidence, killed: &[(Actor, TimestampMs)]) -> BTreeMap<(&'static str, &'static str), u32> {
    let mut met = BTreeMap::new();
    for request in evidence.requests.values() {
        let Some(winner) = evidence
            .outcomes
            .get(&request.request_id)
            .and_then(|all| all.first())
        else {
            continue;
        };
        let on_its_way = request.accepted_at..winner.ended_at;
        let meanwhile = killed.iter().filter(|(_, at)| on_its_way.contains(at));
        let mut kinds: Vec<&str> = meanwhile.map(|(actor, _)| actor.kind()).collect();
        if kinds.is_empty() {
            kinds.push("nothing");
        }
        for kind in kinds {
            *met.entry((kind, winner.status.name())).or_default() += 1;
        }
    }
    met
}
