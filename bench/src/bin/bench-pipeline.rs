//! `make bench-pipeline`: what the whole pipeline adds to a request, on either column. See `--help`.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use relay_bench::cost::Cost;
use relay_bench::pipeline::load::{Came, closed, open};
use relay_bench::{pipeline::hops, quantiles};
use relay_tests::gateway::Gateway;
use relay_tests::ledger;
use relay_tests::production::Production;

/// Open loop at a fixed rate against a mock backend of zero latency; then flat out, for requests per CPU-second.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which column
    #[arg(long, value_enum, default_value_t = Column::Both)]
    column: Column,
    /// Requests a second of the open loop
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of each part
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Clients of the flat-out part
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Repetitions; medians are for people to take
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Column {
    Embedded,
    Production,
    Both,
}

const PROGRAM: &str = "relay";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    for run in 1..=arguments.runs {
        if arguments.column != Column::Production {
            embedded(&arguments, run).await?;
        }
        if arguments.column != Column::Embedded {
            production(&arguments, run).await?;
        }
    }
    Ok(())
}

async fn embedded(arguments: &Arguments, run: usize) -> anyhow::Result<()> {
    let mut gateway = Gateway::start(PROGRAM, &["--tokens", "8"]).await?;
    let processes = gateway.process_ids();
    measure(
        arguments,
        &format!("embedded, run {run}"),
        &[gateway.base_url.clone()],
        &processes,
    )
    .await;
    gateway.stop()?;
    print_hops(&ledger::read(&*ledger::embedded(&gateway.data())?).await?);
    Ok(())
}

async fn production(arguments: &Arguments, run: usize) -> anyhow::Result<()> {
    let deployment = Production::start(PROGRAM, 1, &["--tokens", "8"]).await?;
    let (bases, processes) = (deployment.base_urls.clone(), deployment.process_ids());
    measure(
        arguments,
        &format!("six processes on Kafka, run {run}"),
        &bases,
        &processes,
    )
    .await;
    drop(deployment);
    print_hops(&ledger::read(&*ledger::kafka()?).await?);
    Ok(())
}

async fn measure(arguments: &Arguments, name: &str, bases: &[String], processes: &[u32]) {
    let lasting = Duration::from_secs(arguments.seconds);
    println!(
        "\n{name}: base memory {:.0} MiB",
        Cost::of(processes).resident_mib
    );
    // Connections, caches and estimates settle before anything counts.
    open(bases, arguments.rate, Duration::from_secs(2)).await;
    let before = Cost::of(processes);
    let came = open(bases, arguments.rate, lasting).await;
    print_came(
        &format!("open loop, {}/s", arguments.rate),
        came,
        before,
        processes,
    );
    let before = Cost::of(processes);
    let came = closed(bases, arguments.clients, lasting).await;
    print_came(
        &format!("flat out, {} clients", arguments.clients),
        came,
        before,
        processes,
    );
}

fn print_came(name: &str, came: Came, before: Cost, processes: &[u32]) {
    let after = Cost::of(processes);
    let (count, cpu_s) = (came.latencies_ms.len() as f64, after.cpu_s - before.cpu_s);
    let [p50, p95, p99] = quantiles::of(came.latencies_ms, [0.5, 0.95, 0.99]);
    println!(
        "  {name:<24} {:>7.0} req/s   p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2} ms   {:>6.0} req/CPU-s   {:.0} MiB   {} failed",
        count / came.wall_s,
        count / cpu_s,
        after.resident_mib,
        came.failed,
    );
}

fn print_hops(ledger: &ledger::Ledger) {
    println!("  hop (stamps of 1 ms)        p50   p95   p99 ms");
    for hop in hops::of(ledger) {
        let [p50, p95, p99] = quantiles::of(hop.sample, [0.5, 0.95, 0.99]);
        println!("  {:<24} {p50:>6.0} {p95:>5.0} {p99:>5.0}", hop.name);
    }
}
