//! `make bench-hop`: what one hop costs, on the embedded log and on Kafka. See `--help`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use relay_bench::hop::column::Column;
use relay_bench::hop::figures::Figures;
use relay_bench::hop::table::{Row, markdown};
use relay_bench::hop::written::Meter;
use relay_bench::hop::{Scenario, load};

/// An echo through five topics in a row. The embedded log is always measured, Kafka where `RELAY_KAFKA_BROKERS` is set.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measured seconds of each run
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Seconds of work on each bus before anything is measured; a broker's first minute is slow
    #[arg(long, default_value_t = 60)]
    warm_up: u64,
    /// Runs of each scenario and bus, interleaved
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only scenarios whose name holds this text ("2 KiB", "by reference")
    #[arg(long, default_value = "")]
    only: String,
    /// Folder for the embedded log; on the disk that is to be measured
    #[arg(long, default_value = ".")]
    under: PathBuf,
    /// Kafka's brokers
    #[arg(long, env = "RELAY_KAFKA_BROKERS")]
    brokers: Option<String>,
    /// Folder of the servers that `local.py run` started; tells which process is the broker
    #[arg(long, env = "RELAY_SERVERS_DIR")]
    servers: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut columns = vec![Column::Embedded(arguments.under.clone())];
    columns.extend(arguments.brokers.clone().map(|brokers| Column::Kafka {
        brokers,
        meter: Meter::of_broker(arguments.servers.as_deref()),
    }));
    let scenarios: Vec<Scenario> = Scenario::ALL
        .into_iter()
        .filter(|scenario| scenario.name().contains(&arguments.only))
        .collect();

    let mut all: Vec<(Scenario, &Column, Vec<Figures>)> = scenarios
        .iter()
        .flat_map(|scenario| columns.iter().map(|column| (*scenario, column, Vec::new())))
        .collect();
    for column in &columns {
        eprintln!("bytes written on {}: {}", column.name(), column.meter().name());
        load::warm_up(column, Duration::from_secs(arguments.warm_up))
            .await
            .with_context(|| format!("warm-up on {}", column.name()))?;
    }
    for run in 1..=arguments.runs {
        for (scenario, column, figures) in &mut all {
            let what = format!("run {run}: {} on {}", scenario.name(), column.name());
            let measured = load::run(column, *scenario, arguments.seconds)
                .await
                .with_context(|| what.clone())?;
            eprintln!(
                "{what}: {:.2?} ms, {:.0} µs a record",
                measured.latency_ms, measured.cpu_us
            );
            figures.push(measured);
        }
    }
    let rows: Vec<Row> = all
        .iter()
        .map(|(scenario, column, figures)| row(*scenario, column, figures))
        .collect();
    let manner = format!(
        "medians of {} interleaved runs of {} s after a warm-up of {} s",
        arguments.runs, arguments.seconds, arguments.warm_up
    );
    println!("{}", markdown(&rows, &manner));
    Ok(())
}

fn row(scenario: Scenario, column: &Column, figures: &[Figures]) -> Row {
    let p99s = || figures.iter().map(|run| run.latency_ms[2]);
    Row {
        scenario,
        column: column.name(),
        figures: Figures::median(figures),
        p99_range: (p99s().fold(f64::INFINITY, f64::min), p99s().fold(0.0, f64::max)),
    }
}
