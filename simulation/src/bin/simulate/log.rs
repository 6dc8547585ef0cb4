//! Histories of the embedded log on a disk that does what disks do.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use relay_clock::Clock;
use relay_log::simulated::histories::{Coverage, History, run as replay, shrink};

use crate::seeds::Seeds;

/// Fewer histories need not meet every pair of fault and outcome.
const ENOUGH: u64 = 200_000;

/// Runs them all; explains the first that fails.
pub fn run(seeds: Seeds, clock: &Clock) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let begin = clock.instant();
    let met = Mutex::new(Coverage::default());
    let check = |seed| {
        let verdict = replay(&History::of(seed), None, false);
        let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
        met.add(&verdict.coverage);
        verdict.wrong.into_iter().next()
    };
    if let Some(seed) = seeds.first_failure("histories of the log", check) {
        println!("seed {seed} fails");
        return explain(seed);
    }
    let seconds = clock.since(begin).as_secs_f64();
    let count = seeds.to - seeds.from;
    let met = met.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("how often which fault met which outcome:\n{met}");
    let missing = met.missing();
    if count >= ENOUGH && !missing.is_empty() {
        println!("the histories have a hole; never met: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    println!(
        "{count} histories of the log hold, in {seconds:.0} s ({:.0} a second): nothing acknowledged is lost, nothing damaged is silent",
        count as f64 / seconds.max(0.001)
    );
    ExitCode::SUCCESS
}

/// Replays one history, cut down, and says what happened.
pub fn explain(seed: u64) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let whole = History::of(seed);
    let verdict = replay(&whole, None, true);
    if verdict.wrong.is_empty() {
        for line in verdict.told {
            println!("  {line}");
        }
        println!("seed {seed} holds");
        return ExitCode::SUCCESS;
    }
    let shortest = shrink(&whole, |history| !replay(history, None, false).wrong.is_empty());
    println!(
        "the shortest history found, {} of {} steps, with {:?}:",
        shortest.steps.len(),
        whole.steps.len(),
        shortest.setting
    );
    for (salt, step) in &shortest.steps {
        println!("  ({salt}, {step:?}),");
    }
    let verdict = replay(&shortest, None, true);
    println!("what happened:");
    for line in verdict.told {
        println!("  {line}");
    }
    println!("what does not hold:");
    for line in verdict.wrong {
        println!("  {line}");
    }
    println!("again: cargo run --release -p relay-simulation --bin simulate -- --log --seed {seed}");
    ExitCode::FAILURE
}
