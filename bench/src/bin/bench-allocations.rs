//! `make bench-allocations`: how often and how much Relay allocates for a request. See `--help`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use relay_bench::allocations::Allocated;
use relay_bench::quantiles;
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::gateway::Gateway;
use tokio::task::JoinSet;

/// All six services in one process, which counts; clients and a mock backend of zero latency in others.
#[derive(Debug, Parser)]
struct Arguments {
    /// Requests of a round; a tenth of them where prompts are large
    #[arg(long, default_value_t = 2_000)]
    requests: u64,
    /// Clients that each ask again as soon as they are answered
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Rounds of each row, of which the median is printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Bytes of a large prompt
    #[arg(long, default_value_t = 300_000)]
    large: usize,
}

const PROGRAM: &str = "counted-relay";
const MOCK: [&str; 2] = ["--tokens", "8"];
/// The last of a round are in the tables and everywhere else by then.
const SETTLING: Duration = Duration::from_secs(1);

static NEXT: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut gateway = Gateway::start(PROGRAM, &MOCK).await?;
    println!(
        "{:<24} {:>22} {:>26}",
        "", "allocations a request", "bytes allocated a request"
    );
    for (name, large) in [("small", 0), ("large", arguments.large)] {
        for (how, manner) in [("not streamed", Manner::Whole), ("streamed", Manner::Streamed)] {
            let count = if large > 0 {
                arguments.requests / 10
            } else {
                arguments.requests
            };
            let row = Row {
                base: &gateway.base_url,
                clients: arguments.clients,
                count: count.max(arguments.clients),
                large,
                manner,
            };
            let (times, bytes) = row.measure(gateway.folder.path(), arguments.rounds).await?;
            println!(
                "{:<24} {times:>22.0} {bytes:>26.0}",
                format!("{name} prompt, {how}")
            );
        }
    }
    let before = Allocated::of(gateway.folder.path())?;
    tokio::time::sleep(SETTLING).await;
    let idle = Allocated::of(gateway.folder.path())?.since(before);
    println!("{:<24} {:>22} {:>26}", "idle, a second", idle.times, idle.bytes);
    gateway.stop()
}

/// What is asked, and by how many.
#[derive(Clone, Copy)]
struct Row<'a> {
    base: &'a str,
    clients: u64,
    count: u64,
    large: usize,
    manner: Manner,
}

impl Row<'_> {
    /// Medians a request; a round before them warms everything up.
    async fn measure(self, folder: &Path, rounds: usize) -> anyhow::Result<(f64, f64)> {
        self.round().await?;
        let (mut times, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let before = Allocated::of(folder)?;
            self.round().await?;
            let allocated = Allocated::of(folder)?.since(before);
            times.push(allocated.times as f64 / self.count as f64);
            bytes.push(allocated.bytes as f64 / self.count as f64);
        }
        Ok((quantiles::median(times), quantiles::median(bytes)))
    }

    async fn round(self) -> anyhow::Result<()> {
        let http = relay_tests::http::client();
        let mut running = JoinSet::new();
        for client in 0..self.clients {
            let (http, base) = (http.clone(), self.base.to_owned());
            let asked = self.count / self.clients + u64::from(client < self.count % self.clients);
            running.spawn(async move {
                let tenant = format!("tenant-{client}");
                for _ in 0..asked {
                    let mut prompt = unique_prompt(NEXT.fetch_add(1, Ordering::Relaxed));
                    prompt.push_str(&" and go on".repeat(self.large / 10));
                    let saw = ask(&http, &base, &tenant, &prompt, self.manner, None).await;
                    ensure!(matches!(saw.end, End::Finished(_)), "it ended by {:?}", saw.end);
                }
                Ok(())
            });
        }
        for ended in running.join_all().await {
            ended?;
        }
        tokio::time::sleep(SETTLING).await;
        Ok(())
    }
}
