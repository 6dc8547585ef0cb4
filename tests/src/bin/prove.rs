//! `make prove`: the promises, as often and as long as they ask, against real servers. Ends in a table.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use relay_tests::crash::POINTS;
use relay_tests::gateway::KILLABLE;
use relay_tests::ledger::Ledger;
use relay_tests::{proofs, takeover};

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
}

/// One line of the table.
struct Line {
    proof: String,
    result: Result<String, String>,
    took: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut lines = Vec::new();
    let embedded = prove("crash points, embedded", || {
        crash_points(arguments.embedded_rounds, false)
    })
    .await;
    lines.push(embedded);
    lines.push(prove("storm, embedded", || storm(&arguments, false)).await);
    lines.push(
        prove("crash points, Kafka", || {
            crash_points(arguments.kafka_rounds, true)
        })
        .await,
    );
    lines.push(prove("storm, Kafka", || storm(&arguments, true)).await);
    lines.push(prove("takeover, Kafka", || taken_over(arguments.waiting)).await);
    println!("\n{:<24} {:>8}  result", "proof", "seconds");
    for Line { proof, result, took } in &lines {
        let told = result
            .as_ref()
            .map_or_else(|why| format!("FAILED: {why}"), Clone::clone);
        println!("{proof:<24} {:>8.0}  {told}", took.as_secs_f64());
    }
    if lines.iter().all(|line| line.result.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn prove<F>(proof: &str, run: impl FnOnce() -> F) -> Line
where
    F: Future<Output = anyhow::Result<String>>,
{
    eprintln!("{proof} …");
    let begin = Instant::now();
    let result = run().await.map_err(|error| format!("{error:#}"));
    Line {
        proof: proof.to_owned(),
        result,
        took: begin.elapsed(),
    }
}

async fn crash_points(rounds: u64, kafka: bool) -> anyhow::Result<String> {
    let (mut hits, mut accepted, mut superseded) = (0, 0, 0);
    for round in 0..rounds {
        for (number, point) in POINTS.iter().enumerate() {
            let seed = 10_000 * (round + 1) + 100 * number as u64;
            let ledger = if kafka {
                proofs::production_dies_at(point, seed).await
            } else {
                proofs::embedded_dies_at(point, seed).await
            };
            let ledger = ledger.map_err(|error| error.context(format!("{point}, round {round}")))?;
            hits += 1;
            (accepted, superseded) = (accepted + ledger.accepted.len(), superseded + ledger.superseded);
            eprintln!("  {point} ({hits})");
        }
    }
    // On Kafka each ledger holds all that came before it.
    let accepted = if kafka {
        "all".to_owned()
    } else {
        accepted.to_string()
    };
    Ok(format!(
        "{hits} crashes at {} points, {accepted} accepted, each with one winner ({superseded} superseded)",
        POINTS.len()
    ))
}

async fn storm(arguments: &Arguments, kafka: bool) -> anyhow::Result<String> {
    let ledger = if kafka {
        proofs::production_storm(arguments.kills as usize, arguments.rate).await?
    } else {
        proofs::embedded_storm(arguments.kills, arguments.rate, Duration::from_secs(10)).await?
    };
    Ok(told(&ledger))
}

fn told(ledger: &Ledger) -> String {
    format!(
        "{} accepted − {} winners = 0, trace rows = winners, {} superseded, {} batch lines",
        ledger.accepted.len(),
        ledger.winners.len(),
        ledger.superseded,
        ledger.batch_results.len(),
    )
}

async fn taken_over(waiting: u64) -> anyhow::Result<String> {
    let report = takeover::scheduler_dies(KILLABLE, waiting).await?;
    let ms = report.first_dispatch.as_millis();
    Ok(format!(
        "{} waiting, {} leased, first dispatch after {ms} ms",
        report.queued, report.running
    ))
}
