//! `make simulate`: many seeded schedules of the services and histories of the embedded log; a failing seed is cut down, printed
//! and can be replayed.

mod log;
mod seeds;
mod services;

use std::process::ExitCode;

use clap::Parser;
use relay_clock::Clock;

use crate::seeds::Seeds;

/// Runs all services' pure cores in virtual time, and the embedded log on a simulated disk, with faults, and holds the end against
/// the promises.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many schedules, and how many histories
    #[arg(long, default_value_t = 1_000_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replays this one schedule, or with `--log` this one history, and prints what happened
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on after a failure and names every failing seed, with what did not hold
    #[arg(long)]
    every: bool,
    /// The log's histories alone
    #[arg(long, conflicts_with = "services")]
    log: bool,
    /// The services' schedules alone
    #[arg(long)]
    services: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return if arguments.log {
            log::explain(seed)
        } else {
            services::explain(seed)
        };
    }
    let clock = Clock::system();
    let seeds = Seeds {
        from: arguments.from,
        to: arguments.from + arguments.seeds,
        every: arguments.every,
    };
    if !arguments.log {
        let ended = services::run(seeds, &clock);
        if arguments.services || ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    log::run(seeds, &clock)
}
