//! `make simulate`: many seeded schedules of the services, by their cores or as they ship, and histories of the embedded log; a failing seed is cut down, printed
//! and can be replayed.

mod log;
mod seeds;
mod services;
mod shipped;

use std::process::ExitCode;

use clap::Parser;
use relay_clock::Clock;

use crate::seeds::Seeds;

/// Schedules of cores, and histories of the log.
const MILLION: u64 = 1_000_000;
/// Schedules of the services as they ship: each costs as much as a hundred of their cores.
const SHIPPED: u64 = 10_000;

/// Runs all services' pure cores in virtual time, the services as they ship, and the embedded log on a simulated disk, with faults, and
/// holds the end against the promises.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Arguments {
    /// How many schedules, and how many histories; a million of each, ten thousand of the services as they ship
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replays this one schedule, or with `--log` this one history, or with `--shipped` this one of what ships, and prints what happened
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on after a failure and names every failing seed, with what did not hold
    #[arg(long)]
    every: bool,
    /// The log's histories alone
    #[arg(long, conflicts_with = "services")]
    log: bool,
    /// The schedules of the services' cores alone
    #[arg(long)]
    services: bool,
    /// Schedules of the services as they ship, alone, each twice
    #[arg(long, conflicts_with_all = ["services", "log"])]
    shipped: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return if arguments.shipped {
            shipped::explain(seed)
        } else if arguments.log {
            log::explain(seed)
        } else {
            services::explain(seed)
        };
    }
    let clock = Clock::system();
    let seeds = |most: u64| Seeds {
        from: arguments.from,
        to: arguments.from + arguments.seeds.unwrap_or(most),
        every: arguments.every,
    };
    let all = !(arguments.services || arguments.shipped || arguments.log);
    let runs: [(bool, &dyn Fn() -> ExitCode); 3] = [
        (arguments.services, &|| services::run(seeds(MILLION), &clock)),
        (arguments.shipped, &|| shipped::run_all(seeds(SHIPPED), &clock)),
        (arguments.log, &|| log::run(seeds(MILLION), &clock)),
    ];
    for (_, run) in runs.into_iter().filter(|(is_asked, _)| all || *is_asked) {
        let ended = run();
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    ExitCode::SUCCESS
}
