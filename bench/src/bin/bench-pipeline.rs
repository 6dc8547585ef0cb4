//! `make bench-pipeline`: what the whole pipeline adds to a request, on either column. See `--help`.

use std::fmt;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use relay_bench::cost::Cost;
use relay_bench::pipeline::hops::{self, Hops};
use relay_bench::pipeline::load::{ClientStamps, LoadResult, closed, open};
use relay_bench::quantiles;
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
const MOCK: [&str; 2] = ["--tokens", "8"];
/// Connections, caches and estimates settle before anything counts.
const SETTLING: Duration = Duration::from_secs(2);

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
    let mut gateway = Gateway::start(PROGRAM, &MOCK).await?;
    let target = Target {
        name: format!("embedded, run {run}"),
        bases: vec![gateway.base_url.clone()],
        backend: gateway.backend().to_owned(),
        processes: gateway.process_ids(),
    };
    let seen = measure(arguments, &target).await;
    gateway.stop()?;
    print_hops(&ledger::read(&*ledger::embedded(&gateway.data())?).await?, &seen);
    Ok(())
}

async fn production(arguments: &Arguments, run: usize) -> anyhow::Result<()> {
    let deployment = Production::start(PROGRAM, 1, &MOCK).await?;
    let target = Target {
        name: format!("six processes on Kafka, run {run}"),
        bases: deployment.base_urls.clone(),
        backend: deployment.backend().to_owned(),
        processes: deployment.process_ids(),
    };
    let seen = measure(arguments, &target).await;
    drop(deployment);
    print_hops(&ledger::read(&*ledger::kafka()?).await?, &seen);
    Ok(())
}

/// What is measured.
struct Target {
    name: String,
    /// Where requests go in.
    bases: Vec<String>,
    /// The mock backend's base URL, with `/v1`.
    backend: String,
    /// Whose CPU time and memory count.
    processes: Vec<u32>,
}

/// Measures all parts and returns what the clients saw of the open loop.
async fn measure(arguments: &Arguments, target: &Target) -> Vec<ClientStamps> {
    let lasting = Duration::from_secs(arguments.seconds);
    let Target { bases, processes, .. } = target;
    println!(
        "\n{}: base memory {:.0} MiB",
        target.name,
        Cost::of(processes).resident_mib
    );
    let mock = [target.backend.trim_end_matches("/v1").to_owned()];
    open(&mock, arguments.rate, SETTLING).await;
    let result = open(&mock, arguments.rate, lasting).await;
    let alone = of(&result);
    let failed = format!("{} failed", result.failed);
    println!("  {:<24} {failed:>22} {alone}", "backend alone");
    open(bases, arguments.rate, SETTLING).await;
    let before = Cost::of(processes);
    let result = open(bases, arguments.rate, lasting).await;
    print_result(
        &format!("open loop, {}/s", arguments.rate),
        &result,
        before,
        processes,
    );
    println!(
        "  {:<24} {:>22} {}",
        "added by Relay",
        "",
        of(&result).less(&alone)
    );
    let seen = result.seen;
    let before = Cost::of(processes);
    let result = closed(bases, arguments.clients, lasting).await;
    print_result(
        &format!("flat out, {} clients", arguments.clients),
        &result,
        before,
        processes,
    );
    seen
}

/// Three quantiles of the latency, milliseconds.
struct Latency([f64; 3]);

fn of(result: &LoadResult) -> Latency {
    Latency(quantiles::of(result.latencies_ms.clone(), [0.5, 0.95, 0.99]))
}

impl Latency {
    /// Quantile less quantile.
    fn less(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] - other.0[at]))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99] = self.0;
        write!(f, "p50 {p50:>6.2}  p95 {p95:>6.2}  p99 {p99:>6.2} ms")
    }
}

fn print_result(name: &str, result: &LoadResult, before: Cost, processes: &[u32]) {
    let after = Cost::of(processes);
    let count = result.latencies_ms.len() as f64;
    println!(
        "  {name:<24} {:>7.0} req/s, {} failed {}   {:>6.0} req/CPU-s   {:.0} MiB",
        count / result.wall_s,
        result.failed,
        of(result),
        count / (after.cpu_s - before.cpu_s),
        after.resident_mib,
    );
}

/// The stamps are whole milliseconds: the mean tells more than they do one by one.
fn print_hops(ledger: &ledger::Ledger, seen: &[ClientStamps]) {
    let Hops { hops, unstamped } = hops::of(ledger, seen);
    println!("  open loop, hop by hop (topic)     mean   p50   p95   p99 ms");
    for hop in hops {
        let mean = hop.sample.iter().sum::<f64>() / hop.sample.len().max(1) as f64;
        let [p50, p95, p99] = quantiles::of(hop.sample, [0.5, 0.95, 0.99]);
        println!("  {:<30} {mean:>7.2} {p50:>5.0} {p95:>5.0} {p99:>5.0}", hop.name);
    }
    if unstamped > 0 {
        println!(
            "  {unstamped} of {} not among them: a stamp is missing",
            seen.len()
        );
    }
}
