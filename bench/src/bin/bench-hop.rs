//! `make bench-hop`: what one hop costs, on the embedded log and on Kafka. See `--help`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use relay_bench::hop::column::Column;
use relay_bench::hop::figures::Figures;
use relay_bench::hop::table::{Row, markdown};
use relay_bench::hop::written::Meter;
use relay_bench::hop::{Scenario, disk, load};
use relay_bench::quantiles;

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
    /// Only this bus: embedded or Kafka; both where empty
    #[arg(long, default_value = "")]
    column: String,
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

    columns.retain(|column| arguments.column.is_empty() || arguments.column == column.name());
    ensure!(
        !columns.is_empty(),
        "--column is embedded or Kafka; Kafka needs --brokers"
    );

    let mut all: Vec<Measured<'_>> = scenarios
        .iter()
        .flat_map(|scenario| columns.iter().map(|column| Measured::new(*scenario, column)))
        .collect();
    for column in &columns {
        eprintln!("bytes written on {}: {}", column.name(), column.meter().name());
        load::warm_up(column, Duration::from_secs(arguments.warm_up))
            .await
            .with_context(|| format!("warm-up on {}", column.name()))?;
    }
    for run in 1..=arguments.runs {
        for measured in &mut all {
            let (scenario, column) = (measured.scenario, measured.column);
            let what = format!("run {run}: {} on {}", scenario.name(), column.name());
            measured.disk(arguments.seconds)?;
            let figures = load::run(column, scenario, arguments.seconds)
                .await
                .with_context(|| what.clone())?;
            eprintln!(
                "{what}: {:.2?} ms, {:.0} µs a record",
                figures.latency_ms, figures.cpu_us
            );
            measured.runs.push(figures);
        }
    }
    let rows: Vec<Row> = all.iter().map(Measured::row).collect();
    let manner = format!(
        "medians of {} interleaved runs of {} s after a warm-up of {} s",
        arguments.runs, arguments.seconds, arguments.warm_up
    );
    println!("{}", markdown(&rows, &manner));
    Ok(())
}

/// A scenario on a bus, and what came of its runs.
struct Measured<'a> {
    scenario: Scenario,
    column: &'a Column,
    runs: Vec<Figures>,
    /// Median and 99th percentile of the disk's own sync, beside each run.
    disk_ms: Vec<[f64; 2]>,
}

impl<'a> Measured<'a> {
    fn new(scenario: Scenario, column: &'a Column) -> Self {
        Self {
            scenario,
            column,
            runs: Vec::new(),
            disk_ms: Vec::new(),
        }
    }

    /// What the disk alone takes, where the log lies on a disk of ours.
    fn disk(&mut self, seconds: u64) -> Result<()> {
        let Some(folder) = self.column.folder() else {
            return Ok(());
        };
        let lasting = Duration::from_secs(seconds);
        let syncs = tokio::task::block_in_place(|| {
            disk::syncs(folder, self.scenario.bytes, self.scenario.pace, lasting)
        })?;
        self.disk_ms.push(quantiles::of(syncs, [0.5, 0.99]));
        Ok(())
    }

    fn row(&self) -> Row {
        let p99s = || self.runs.iter().map(|run| run.latency_ms[2]);
        let disk = |at: usize| quantiles::median(self.disk_ms.iter().map(|ms| ms[at]).collect());
        Row {
            scenario: self.scenario,
            column: self.column.name(),
            figures: Figures::median(&self.runs),
            p99_range: (p99s().fold(f64::INFINITY, f64::min), p99s().fold(0.0, f64::max)),
            disk_ms: (!self.disk_ms.is_empty()).then(|| [disk(0), disk(1)]),
        }
    }
}
