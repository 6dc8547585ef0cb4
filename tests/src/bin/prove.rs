//! `make prove`: the promises, as often and as long as they ask, against real servers. Ends in a table.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use relay_tests::crash::POINTS;
use relay_tests::flips::{self, Field};
use relay_tests::gateway::KILLABLE;
use relay_tests::proofs::Comes;
use relay_tests::takeover::{self, Way};
use relay_tests::{disk, full, images, keyed, outages, power, proofs, worker_death};

/// Kills the real processes at every named point and at random moments, and judges the raw log.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each crash point is hit on the embedded column
    #[arg(long, default_value_t = 20)]
    embedded_rounds: u64,
    /// How often on Kafka
    #[arg(long, default_value_t = 3)]
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
    /// Seconds for which each server is away
    #[arg(long, default_value_t = 20)]
    away: u64,
    /// Only crash points with this in their names, for example `planner`
    #[arg(long, default_value = "")]
    point: String,
    /// Only proofs with this in their names, for example `storm` or `Kafka`
    #[arg(long, default_value = "")]
    only: String,
}

/// One line of the table.
struct Line {
    proof: &'static str,
    result: Result<String, String>,
    took: Duration,
}

type Proof<'a> = Pin<Box<dyn Future<Output = anyhow::Result<String>> + 'a>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let all: Vec<(&str, Proof<'_>)> = vec![
        (
            "crash points, embedded",
            Box::pin(crash_points(arguments.embedded_rounds, &arguments.point, false)),
        ),
        ("storm, embedded", Box::pin(storm(&arguments, false))),
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
            "crash points, Kafka",
            Box::pin(crash_points(arguments.kafka_rounds, &arguments.point, true)),
        ),
        ("storm, Kafka", Box::pin(storm(&arguments, true))),
        (
            "scheduler killed, Kafka",
            Box::pin(taken_over(arguments.waiting, Way::Killed)),
        ),
        (
            "scheduler stopped, Kafka",
            Box::pin(taken_over(arguments.waiting, Way::Stopped)),
        ),
        ("worker killed, Kafka", Box::pin(worker_killed())),
        ("servers away, Kafka", Box::pin(servers_away(arguments.away))),
    ];
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
    println!("\n| proof | seconds | result |\n|---|---|---|\n{}", table(&lines));
    if !lines.is_empty() && lines.iter().all(|line| line.result.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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

/// Goes on after a failure, so that one run tells all points that fail.
async fn crash_points(rounds: u64, only: &str, kafka: bool) -> anyhow::Result<String> {
    let (mut hits, mut accepted, mut superseded) = (0, 0, 0);
    let mut failed = Vec::new();
    let points: Vec<&str> = POINTS
        .iter()
        .copied()
        .filter(|point| point.contains(only))
        .collect();
    for round in 0..rounds {
        for (number, point) in points.iter().enumerate() {
            let seed = 10_000 * (round + 1) + 100 * number as u64;
            let begin = Instant::now();
            let ledger = if kafka {
                proofs::production_dies_at(point, seed).await
            } else {
                proofs::embedded_dies_at(point, Comes::Mixed, seed).await
            };
            let place = format!(
                "round {} of {rounds}, point {} of {}, {point}, {:.1} s",
                round + 1,
                number + 1,
                points.len(),
                begin.elapsed().as_secs_f64()
            );
            match ledger {
                Ok(ledger) => {
                    hits += 1;
                    // On Kafka each ledger holds all that came before it.
                    let before = if kafka { (0, 0) } else { (accepted, superseded) };
                    (accepted, superseded) = (before.0 + ledger.accepted.len(), before.1 + ledger.superseded);
                    proofs::say(&place);
                }
                Err(error) => {
                    proofs::say(&format!("{place}: FAILED: {error:#}"));
                    failed.push(format!("{place}: {error:#}"));
                }
            }
        }
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} failed; {}",
            failed.len(),
            hits + failed.len(),
            failed.join("; ")
        );
    }
    Ok(format!(
        "{hits} crashes at {} points; {accepted} accepted, each with one winner ({superseded} superseded); trace rows = winners",
        points.len()
    ))
}

async fn storm(arguments: &Arguments, kafka: bool) -> anyhow::Result<String> {
    let storm = if kafka {
        proofs::production_storm(arguments.kills, arguments.rate).await?
    } else {
        proofs::embedded_storm(arguments.kills, arguments.rate, Duration::from_secs(10)).await?
    };
    storm.shares.ensure_each(15)?;
    Ok(format!(
        "{} kills{}; {}; accepted − winners = 0, trace rows = winners, tokens charged = fold, {} superseded",
        storm.kills,
        if kafka { " of each of the six services" } else { "" },
        storm.shares,
        storm.ledger.superseded,
    ))
}

async fn power(cuts: u64) -> anyhow::Result<String> {
    let report = power::power_cuts(cuts).await?;
    Ok(format!(
        "{cuts} cuts took {} bytes off the log; {} accepted and acknowledged, none lost",
        report.bytes, report.acknowledged
    ))
}

/// Only where a loop device can be mounted.
async fn on_a_disk(proof: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    match disk::lacking() {
        None => proof.await,
        Some(why) => Ok(format!("SKIPPED, nothing was shown: {why}")),
    }
}

async fn disk_images(count: u64) -> anyhow::Result<String> {
    let report = images::images(count).await?;
    Ok(format!(
        "{count} images with {} segments; {} large requests acknowledged before they were taken, none lost",
        report.segments, report.acknowledged
    ))
}

async fn full_disk() -> anyhow::Result<String> {
    let report = full::disk_fills().await?;
    Ok(format!(
        "filled to the reserve, to the last byte, and killed there: {} refused with 507, {} accepted, each with one winner; it went \
         on by itself each time",
        report.refused, report.accepted
    ))
}

/// In each kind of field alone, and in all of them at once.
async fn flipped_bits() -> anyhow::Result<String> {
    for field in Field::ALL {
        flips::flipped(&[field])
            .await
            .with_context(|| format!("{field:?}"))?;
        proofs::say(&format!("{field:?}"));
    }
    let bits = flips::flipped(&Field::ALL).await?;
    Ok(format!(
        "{bits} kinds of fields, one by one and at once: named by `relay log verify`, started on; the damaged records are dead letters \
         with their places, all else is there"
    ))
}

async fn kills_under_keys(seconds: u64) -> anyhow::Result<String> {
    let report = keyed::killed_at_random(Duration::from_secs(seconds)).await?;
    Ok(format!(
        "{} kills in {seconds} s; {} keys asked for {} times, each told one end, twice",
        report.kills, report.keys, report.questions
    ))
}

async fn taken_over(waiting: u64, way: Way) -> anyhow::Result<String> {
    let report = takeover::scheduler_ends(KILLABLE, waiting, way, way.promised()).await?;
    let (prompt, completion) = report
        .charged
        .values()
        .fold((0, 0), |sum, tokens| (sum.0 + tokens.0, sum.1 + tokens.1));
    Ok(format!(
        "{} waiting, {} leased; first dispatch after {} ms; none leased twice; {prompt} + {completion} tokens charged to {} tenants = fold of the winners",
        report.queued,
        report.running,
        report.first_dispatch.as_millis(),
        report.charged.len()
    ))
}

async fn worker_killed() -> anyhow::Result<String> {
    let report = worker_death::worker_dies(KILLABLE).await?;
    Ok(format!(
        "{} streams that had shown a token ended as worker_lost; {} requests that had not ({} streamed) ran elsewhere within {} ms",
        report.lost,
        report.again,
        report.again_streamed,
        report.slowest.as_millis()
    ))
}

async fn servers_away(seconds: u64) -> anyhow::Result<String> {
    for dependency in outages::DEPENDENCIES {
        outages::absent_at_start(dependency).await?;
        proofs::say(&format!("{} was absent at start", dependency.server));
    }
    let ledger = outages::each_stopped_under_load(Duration::from_secs(seconds)).await?;
    Ok(format!(
        "each of {} servers absent at start, and stopped for {seconds} s under load; {} accepted, each with one winner ({} superseded); trace rows = winners; no restart",
        outages::DEPENDENCIES.len(),
        ledger.accepted.len(),
        ledger.superseded
    ))
}
