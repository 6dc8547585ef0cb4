//! Each proof as often and as long as it is asked for, and what it showed in a line.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use relay_tests::crash::POINTS;
use relay_tests::flips::{self, Field};
use relay_tests::gateway::KILLABLE;
use relay_tests::hostile::{self, Hostile, Windows};
use relay_tests::proofs::Comes;
use relay_tests::takeover::{self, Way};
use relay_tests::{
    disk, full, images, keyed, outages, pairs, power, proofs, rolling, stalls, steps, worker_death,
};

/// Goes on after a failure, so that one run tells all points that fail.
pub async fn crash_points(rounds: u64, only: &str, kafka: bool) -> anyhow::Result<String> {
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

/// Of processes on Kafka that host what is named, or of one process on the embedded log.
pub async fn storm(kills: u64, rate: u32, hosted: &[&'static str]) -> anyhow::Result<String> {
    let storm = if hosted.is_empty() {
        proofs::embedded_storm(kills, rate, Duration::from_secs(10)).await?
    } else {
        proofs::production_storm(hosted, kills, rate).await?
    };
    storm.shares.ensure_each(15)?;
    Ok(format!(
        "{} kills{}; {}; accepted − winners = 0, trace rows = winners, tokens charged = fold, {} superseded",
        storm.kills,
        if hosted.is_empty() {
            String::new()
        } else {
            format!(" of each of {}", hosted.join(" and "))
        },
        storm.shares,
        storm.ledger.superseded,
    ))
}

pub async fn power(cuts: u64) -> anyhow::Result<String> {
    let report = power::power_cuts(cuts).await?;
    Ok(format!(
        "{cuts} cuts took {} bytes off the log; {} accepted and acknowledged, none lost",
        report.bytes, report.acknowledged
    ))
}

/// Only where a loop device can be mounted.
pub async fn on_a_disk(proof: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    match disk::lacking() {
        None => proof.await,
        Some(why) => Ok(format!("SKIPPED, nothing was shown: {why}")),
    }
}

pub async fn disk_images(count: u64) -> anyhow::Result<String> {
    let report = images::images(count).await?;
    Ok(format!(
        "{count} images with {} segments; {} large requests acknowledged before they were taken, none lost",
        report.segments, report.acknowledged
    ))
}

pub async fn full_disk() -> anyhow::Result<String> {
    let report = full::disk_fills().await?;
    Ok(format!(
        "filled to the reserve, to the last byte, and killed there: {} refused with 507, {} accepted, each with one winner; it went \
         on by itself each time",
        report.refused, report.accepted
    ))
}

/// In each kind of field alone, and in all of them at once.
pub async fn flipped_bits() -> anyhow::Result<String> {
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

pub async fn kills_under_keys(seconds: u64) -> anyhow::Result<String> {
    let report = keyed::killed_at_random(Duration::from_secs(seconds)).await?;
    Ok(format!(
        "{} kills in {seconds} s; {} keys asked for {} times, each told one end, twice",
        report.kills, report.keys, report.questions
    ))
}

pub async fn taken_over(waiting: u64, way: Way) -> anyhow::Result<String> {
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

pub async fn worker_killed() -> anyhow::Result<String> {
    let report = worker_death::worker_dies(KILLABLE, Duration::from_secs(5)).await?;
    Ok(format!(
        "{} streams that had shown a token ended as worker_lost; {} requests that had not ({} streamed) ran elsewhere within {} ms",
        report.lost,
        report.again,
        report.again_streamed,
        report.slowest.as_millis()
    ))
}

pub async fn servers_away(seconds: u64) -> anyhow::Result<String> {
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

pub async fn clock_steps(rounds: u64, kafka: bool) -> anyhow::Result<String> {
    let report = if kafka {
        steps::production(rounds).await?
    } else {
        steps::embedded(rounds, &steps::STEPS_MS).await?
    };
    let whose = if kafka {
        " of all eight processes, and of each kind alone"
    } else {
        ""
    };
    Ok(format!(
        "{} steps of 3 and 60 s, forward and back{whose}: {} requests at work were answered by their one run, {} ended by their \
         deadlines; the lead never changed",
        report.steps, report.answered, report.expired
    ))
}

pub async fn beside(hostile: Hostile, repeats: u64) -> anyhow::Result<String> {
    let windows = Windows {
        repeats,
        alone: Duration::from_secs(5),
        beside: Duration::from_secs(8),
    };
    let seen = hostile::beside(hostile, windows).await?;
    seen.ensure_isolated()?;
    Ok(format!("nine light tenants, alone → beside it: {seen}"))
}

pub async fn one_key(rounds: u64) -> anyhow::Result<String> {
    let report = pairs::one_key_two_ingresses(rounds).await?;
    Ok(format!(
        "{} pairs with equal bodies, each told one end twice; {} with different ones, one answered and the other told 409",
        report.equal, report.different
    ))
}

pub async fn kafka_stalls(rounds: u64) -> anyhow::Result<String> {
    let report = stalls::kafka_stalls(rounds, &stalls::STALLS).await?;
    Ok(format!(
        "{} stalls of {:?} on eight processes; {} accepted, each with one winner ({} superseded), none as worker_lost; {} answered or cancelled, \
         {} runs; everything serves again without a restart",
        report.stalls,
        stalls::STALLS,
        report.accepted,
        report.superseded,
        report.worked,
        report.ran
    ))
}

/// No client sees an error or a cut; then each process has ended with 0.
pub async fn rolling_restart(rate: u32) -> anyhow::Result<String> {
    let rolling::Report { restarts, asked } =
        rolling::restarted_one_by_one(KILLABLE, 2, rate, rolling::Machine::Quiet).await?;
    Ok(format!(
        "{restarts} processes restarted under {rate}/s, half streams, a third keyed: {asked} requests, each answered whole"
    ))
}
