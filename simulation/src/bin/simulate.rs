//! `make simulate`: many seeded schedules; a failing seed is cut down, printed and can be replayed.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use relay_clock::Clock;
use relay_simulation::{Sabotage, Schedule, replay, shrink, violations};

/// Runs all services' pure cores in virtual time, with faults, and holds the end against the promises.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many schedules
    #[arg(long, default_value_t = 1_000_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replays this one seed and prints what happened
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on after a failure and names every failing seed, with what did not hold
    #[arg(long)]
    every: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return explain(seed);
    }
    let clock = Clock::system();
    let begin = clock.instant();
    let (from, to) = (arguments.from, arguments.from + arguments.seeds);
    if let Some(seed) = first_failure(from, to, arguments.every) {
        println!("seed {seed} fails");
        return explain(seed);
    }
    println!(
        "{} schedules hold, in {:.0} s: one outcome each, nothing lost, nothing late, no untruth told",
        to - from,
        clock.since(begin).as_secs_f64()
    );
    ExitCode::SUCCESS
}

/// The lowest failing seed that any thread finds before all stop.
fn first_failure(from: u64, to: u64, every: bool) -> Option<u64> {
    let (next, failed) = (AtomicU64::new(from), AtomicU64::new(u64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to || !every && failed.load(Ordering::Relaxed) < seed {
                        return;
                    }
                    let wrong = violations(&Schedule::of(seed), Sabotage::None);
                    if let Some(first) = wrong.first() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                        if every {
                            println!("seed {seed}: {first}");
                        }
                    }
                    if seed % 50_000 == 0 && seed > from {
                        eprintln!("{} of {} schedules", seed - from, to - from);
                    }
                }
            });
        }
    });
    Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
}

fn explain(seed: u64) -> ExitCode {
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
