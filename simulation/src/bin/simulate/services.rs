//! Schedules of the services' pure cores.

use std::process::ExitCode;

use relay_clock::Clock;
use relay_simulation::{Sabotage, Schedule, replay, shrink, violations};

use crate::seeds::Seeds;

/// Runs them all; explains the first that fails.
pub fn run(seeds: Seeds, clock: &Clock) -> ExitCode {
    let begin = clock.instant();
    let check = |seed| violations(&Schedule::of(seed), Sabotage::None).into_iter().next();
    if let Some(seed) = seeds.first_failure("schedules", check) {
        println!("seed {seed} fails");
        return explain(seed);
    }
    println!(
        "{} schedules hold, in {:.0} s: one outcome each, nothing lost, nothing late, no untruth told",
        seeds.to - seeds.from,
        clock.since(begin).as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// Replays one schedule, cut down, and says what happened.
pub fn explain(seed: u64) -> ExitCode {
    let whole = Schedule::of(seed);
    if violations(&whole, Sabotage::None).is_empty() {
        println!("seed {seed} holds");
        return ExitCode::SUCCESS;
    }
    let shortest = shrink(&whole, |schedule| {
        !violations(schedule, Sabotage::None).is_empty()
    });
    println!(
        "the shortest schedule found, {} of {} events:",
        shortest.events.len(),
        whole.events.len()
    );
    for event in &shortest.events {
        println!("  {event}");
    }
    let (history, wrong) = replay(&shortest, Sabotage::None);
    println!("what happened:");
    for line in history {
        println!("  {line}");
    }
    println!("what does not hold:");
    for line in wrong {
        println!("  {line}");
    }
    println!("again: cargo run --release -p relay-simulation --bin simulate -- --seed {seed}");
    ExitCode::FAILURE
}
