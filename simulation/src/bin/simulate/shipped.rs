//! Schedules of the services that ship.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use relay_clock::Clock;
use relay_log::simulated::shortest;
use relay_simulation::shipped::{Ran, Schedule, difference, run};

use crate::seeds::Seeds;

/// Runs each seed twice; explains the first that fails.
pub fn run_all(seeds: Seeds, clock: &Clock) -> ExitCode {
    let begin = clock.instant();
    let met: Mutex<BTreeMap<(&str, &str), u32>> = Mutex::default();
    let check = |seed| {
        let (ran, wrong) = judge(&Schedule::of(seed));
        let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
        for (pair, times) in ran.met {
            *met.entry(pair).or_default() += times;
        }
        wrong.into_iter().next()
    };
    if let Some(seed) = seeds.first_failure("schedules of what ships", check) {
        println!("seed {seed} fails");
        return explain(seed);
    }
    println!("how many requests were on their way when what was killed, and how they ended:");
    for ((killed, end), times) in &*met.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("  {killed:<14} {end:<10} {times:>8}");
    }
    let (count, seconds) = (seeds.to - seeds.from, clock.since(begin).as_secs_f64());
    println!(
        "{count} schedules of what ships hold, each twice to the byte, in {seconds:.0} s ({:.1} ms a run): one outcome each, nothing lost, \
         nothing late, no untruth told",
        seconds * 500.0 / count as f64
    );
    ExitCode::SUCCESS
}

/// Replays one schedule, cut down, and says what happened.
pub fn explain(seed: u64) -> ExitCode {
    let whole = Schedule::of(seed);
    let (ran, wrong) = judge(&whole);
    if wrong.is_empty() {
        print!("{}", ran.trace);
        println!("seed {seed} holds");
        return ExitCode::SUCCESS;
    }
    let with = |events: &[_]| Schedule {
        seed,
        events: events.to_vec(),
    };
    let shortest = with(&shortest(&whole.events, |events| {
        !judge(&with(events)).1.is_empty()
    }));
    let (ran, wrong) = judge(&shortest);
    println!("what happened:\n{}", ran.trace);
    println!(
        "the shortest schedule found, {} of {} events:",
        shortest.events.len(),
        whole.events.len()
    );
    for (at, op) in &shortest.events {
        println!("  {at:?} {op:?}");
    }
    println!("what does not hold:");
    for line in wrong {
        println!("  {line}");
    }
    println!("again: cargo run --release -p relay-simulation --bin simulate -- --shipped --seed {seed}");
    ExitCode::FAILURE
}

fn judge(schedule: &Schedule) -> (Ran, Vec<String>) {
    let (ran, again) = (run(schedule), run(schedule));
    let mut wrong = ran.wrong.clone();
    if let Some(difference) = difference(&ran.trace, &again.trace) {
        wrong.push(format!("two runs of it differ first in:\n{difference}"));
    }
    (ran, wrong)
}
