//! `make prove`: the promises, as often and as long as they ask, against real servers. Ends in a table.

mod summaries;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use relay_tests::hostile::Hostile;
use relay_tests::production::{ONE, PAIRS, SERVICES};
use relay_tests::takeover::Way;
use summaries::{
    clock_steps, crash_points, disk_images, flipped_bits, full_disk, kafka_stalls, kills_under_keys,
    on_a_disk, one_key, power, rolling_restart, servers_away, storm, taken_over, worker_killed,
};

/// Kills the real processes at every named point and at random moments, and judges the raw log.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each crash point is hit on the embedded column
    #[arg(long, default_value_t = 2)]
    embedded_rounds: u64,
    /// How often on Kafka
    #[arg(long, default_value_t = 1)]
    kafka_rounds: u64,
    /// How often each service (embedded: the process) dies in the storm
    #[arg(long, default_value_t = 3)]
    kills: u64,
    /// Requests a second in the storm
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Requests that wait when the scheduler dies
    #[arg(long, default_value_t = 10_000)]
    waiting: u64,
    /// How often the power is cut
    #[arg(long, default_value_t = 10)]
    power_cuts: u64,
    /// How many images are taken of the disk under large requests
    #[arg(long, default_value_t = 20)]
    images: u64,
    /// Seconds for which the process is killed at random moments under keyed requests
    #[arg(long, default_value_t = 300)]
    killing: u64,
    /// Requests a second during the rolling restart
    #[arg(long, default_value_t = 200)]
    rolling_rate: u32,
    /// Seconds for which each server is away
    #[arg(long, default_value_t = 20)]
    away: u64,
    /// How often the embedded gateway's clock is set by each step
    #[arg(long, default_value_t = 3)]
    embedded_steps: u64,
    /// How often those of eight processes on Kafka, all at once and each alone
    #[arg(long, default_value_t = 1)]
    kafka_steps: u64,
    /// How often Kafka stops answering, for each length
    #[arg(long, default_value_t = 5)]
    stalls: u64,
    /// How often light tenants are measured alone and beside each hostile one
    #[arg(long, default_value_t = 3)]
    repeats: u64,
    /// How often twenty pairs of each kind ask under one key
    #[arg(long, default_value_t = 6)]
    pairs: u64,
    /// How many minutes it may take as a whole; more is a failure of its own
    #[arg(long, default_value_t = 60)]
    within: u64,
    /// Only crash points with this in their names, for example `planner`
    #[arg(long, default_value = "")]
    point: String,
    /// Only proofs with this in their names, for example `storm` or `Kafka`
    #[arg(long, default_value = "")]
    only: String,
}

/// One line of the table.
struct Line {
    proof: String,
    result: Result<String, String>,
    took: Duration,
}

/// What makes a line of the table.
type Proof<'a> = Pin<Box<dyn Future<Output = anyhow::Result<String>> + 'a>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let begin = Instant::now();
    let all = proofs(&arguments);
    let mut lines = Vec::new();
    for (proof, run) in all
        .into_iter()
        .filter(|(proof, _)| proof.contains(&arguments.only))
    {
        eprintln!("{proof} …");
        let begin = Instant::now();
        let result = run.await.map_err(|error| format!("{error:#}"));
        let took = begin.elapsed();
        lines.push(Line { proof, result, took });
        eprintln!("{}", table(&lines[lines.len() - 1..]));
    }
    let whole = begin.elapsed().as_secs();
    println!("\n| proof | seconds | result |\n|---|---|---|\n{}", table(&lines));
    println!("\nall: {} min {} s", whole / 60, whole % 60);
    let in_time = whole <= arguments.within * 60;
    if !in_time {
        println!(
            "FAILED: more than {} min; make a proof shorter, or ask for more with --within",
            arguments.within
        );
    }
    if in_time && !lines.is_empty() && lines.iter().all(|line| line.result.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All proofs, in their order.
fn proofs(arguments: &Arguments) -> Vec<(String, Proof<'_>)> {
    let named = |(name, proof): (&str, _)| (name.to_owned(), proof);
    let beside = Hostile::ALL.into_iter().map(|hostile| -> (String, Proof<'_>) {
        let proof = summaries::beside(hostile, arguments.repeats);
        (format!("hostile tenants: {hostile}, embedded"), Box::pin(proof))
    });
    let embedded = on_embedded(arguments).into_iter().map(named).chain(beside);
    embedded
        .chain(on_kafka(arguments).into_iter().map(named))
        .collect()
}

fn on_embedded(arguments: &Arguments) -> Vec<(&'static str, Proof<'_>)> {
    let (kills, rate, point) = (arguments.kills, arguments.rate, &arguments.point);
    vec![
        (
            "crash points, embedded",
            Box::pin(crash_points(arguments.embedded_rounds, point, false)),
        ),
        ("storm, embedded", Box::pin(storm(kills, rate, &[]))),
        (
            "power cuts, embedded",
            Box::pin(on_a_disk(power(arguments.power_cuts))),
        ),
        (
            "images of the disk, embedded",
            Box::pin(on_a_disk(disk_images(arguments.images))),
        ),
        ("full disk, embedded", Box::pin(on_a_disk(full_disk()))),
        ("flipped bits, embedded", Box::pin(flipped_bits())),
        (
            "kills under keys, embedded",
            Box::pin(kills_under_keys(arguments.killing)),
        ),
        (
            "clock steps, embedded",
            Box::pin(clock_steps(arguments.embedded_steps, false)),
        ),
    ]
}

/// Those that leave times of day of their own in Kafka come last.
fn on_kafka(arguments: &Arguments) -> Vec<(&'static str, Proof<'_>)> {
    let (kills, rate, point) = (arguments.kills, arguments.rate, &arguments.point);
    vec![
        (
            "crash points, Kafka",
            Box::pin(crash_points(arguments.kafka_rounds, point, true)),
        ),
        ("storm, Kafka", Box::pin(storm(kills, rate, &SERVICES))),
        ("storm in pairs, Kafka", Box::pin(storm(kills, rate, &PAIRS))),
        ("storm in one, Kafka", Box::pin(storm(kills, rate, &ONE))),
        (
            "scheduler killed, Kafka",
            Box::pin(taken_over(arguments.waiting, Way::Killed)),
        ),
        (
            "scheduler stopped, Kafka",
            Box::pin(taken_over(arguments.waiting, Way::Stopped)),
        ),
        ("worker killed, Kafka", Box::pin(worker_killed())),
        (
            "rolling restart, Kafka",
            Box::pin(rolling_restart(arguments.rolling_rate)),
        ),
        ("servers away, Kafka", Box::pin(servers_away(arguments.away))),
        (
            "one key on two ingresses, Kafka",
            Box::pin(one_key(arguments.pairs)),
        ),
        ("stalls, Kafka", Box::pin(kafka_stalls(arguments.stalls))),
        (
            "clock steps, Kafka",
            Box::pin(clock_steps(arguments.kafka_steps, true)),
        ),
    ]
}

/// Rows of a Markdown table.
fn table(lines: &[Line]) -> String {
    let rows = lines.iter().map(|Line { proof, result, took }| {
        let told = result
            .as_ref()
            .map_or_else(|why| format!("FAILED: {why}"), Clone::clone);
        format!("| {proof} | {:.0} | {told} |", took.as_secs_f64())
    });
    rows.collect::<Vec<_>>().join("\n")
}
