//! The parts of a run. Each has a gateway of its own, and prints what it saw.

use std::time::Duration;

use anyhow::Context;

use super::hops::{self, Hops};
use super::latency::Latency;
use super::load::{Asking, LoadResult, closed, open};
use super::streams::streams;
use super::target::{Column, Target};
use crate::cost::Cost;
use crate::hop::written::Meter;
use crate::profile::{Profile, recording};
use crate::quantiles;

/// How much of each.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    /// Requests a second of the open loop.
    pub rate: u32,
    /// Clients that are flat out.
    pub clients: usize,
    /// How long a part lasts.
    pub lasting: Duration,
}

/// Connections, caches and estimates settle before anything counts.
const SETTLING: Duration = Duration::from_secs(2);
const MOCK: [&str; 2] = ["--tokens", "8"];
/// Clients of the streams.
const STREAMS: usize = 32;
/// Tokens of a stream and the milliseconds between them: as a model says them, and as fast as the endpoint can.
const PACED: (u32, &str) = (50, "20");
const UNPACED: (u32, &str) = (200, "0");
/// A long prompt, bytes, and who asks with such at once.
const LARGE: usize = 300_000;
const LARGE_CLIENTS: usize = 8;

/// Added latency in an open loop, then flat out: CPU time, and each hop of the open loop.
///
/// # Errors
/// Where the gateway does not start, or not stop.
pub async fn requests(column: Column, program: &str, amounts: Amounts, keyed: bool) -> anyhow::Result<()> {
    let target = Target::start(column, program, &MOCK).await?;
    println!(
        "  base memory {:.0} MiB",
        Cost::of(&target.processes).resident_mib
    );
    let asking = Asking {
        keyed,
        ..Asking::default()
    };
    let Amounts {
        rate,
        clients,
        lasting,
    } = amounts;
    open(&target.backend, rate, SETTLING, asking).await;
    let result = open(&target.backend, rate, lasting, asking).await;
    let alone = Latency::of(&result.latencies_ms);
    let failed = format!("{} failed", result.failed);
    println!("  {:<24} {failed:>22} {alone}", "backend alone");
    open(&target.bases, rate, SETTLING, asking).await;
    let before = Cost::of(&target.processes);
    let result = open(&target.bases, rate, lasting, asking).await;
    print_load(
        &format!("open loop, {rate}/s"),
        &result,
        before,
        &target.processes,
    );
    let added = Latency::of(&result.latencies_ms).less(&alone);
    println!("  {:<24} {:>22} {added}", "added by Relay", "");
    let seen = result.seen;
    let before = Cost::of(&target.processes);
    let result = closed(&target.bases, clients, lasting, asking).await;
    print_load(
        &format!("flat out, {clients} clients"),
        &result,
        before,
        &target.processes,
    );
    print_hops(&hops::of(&target.ledger().await?, &seen), seen.len());
    Ok(())
}

/// What a token of a stream costs, and how much later the first one comes.
///
/// # Errors
/// Where the gateway does not start.
pub async fn all_streams(column: Column, program: &str, amounts: Amounts) -> anyhow::Result<()> {
    for (name, (tokens, pace)) in [("paced 20 ms", PACED), ("unpaced", UNPACED)] {
        let answer = tokens.to_string();
        let target = Target::start(column, program, &["--tokens", &answer, "--token-ms", pace]).await?;
        let alone = streams(&target.backend, STREAMS, tokens, amounts.lasting).await;
        streams(&target.bases, STREAMS, tokens, SETTLING).await;
        let before = Cost::of(&target.processes);
        let seen = streams(&target.bases, STREAMS, tokens, amounts.lasting).await;
        let after = Cost::of(&target.processes);
        let chunks = seen.finished as f64 * f64::from(tokens);
        let added = Latency::of(&seen.first_ms).less(&Latency::of(&alone.first_ms));
        println!(
            "  {:<24} {:>7.0} chunks/CPU-s, {} failed; to the first token added {added}   {:.0} MiB",
            format!("{STREAMS} streams, {name}"),
            chunks / (after.cpu_s - before.cpu_s),
            seen.failed + alone.failed,
            after.resident_mib,
        );
    }
    Ok(())
}

/// What a long prompt costs, and how often it is written.
///
/// # Errors
/// Where the gateway does not start, or the kernel does not count what it writes.
pub async fn large(column: Column, program: &str, amounts: Amounts) -> anyhow::Result<()> {
    let target = Target::start(column, program, &MOCK).await?;
    let asking = Asking {
        prompt: LARGE,
        whole: true,
        keyed: false,
    };
    closed(&target.bases, LARGE_CLIENTS, SETTLING, asking).await;
    let written = || -> Option<u64> {
        let of = |process: &u32| Meter::Process(*process).bytes();
        target.processes.iter().map(of).sum()
    };
    let before = (Cost::of(&target.processes), written().context("/proc/PID/io")?);
    let result = closed(&target.bases, LARGE_CLIENTS, amounts.lasting, asking).await;
    print_load("bodies of 300 KB", &result, before.0, &target.processes);
    let bytes = written().context("/proc/PID/io")? - before.1;
    let bodies = result.latencies_ms.len() * LARGE;
    println!(
        "  {:<24} {:>7.2} bytes to disk for each of a body",
        "",
        bytes as f64 / bodies as f64
    );
    Ok(())
}

/// Where the CPU time of a request goes, flat out.
///
/// # Errors
/// Where the gateway does not start, or there is no `perf`.
pub async fn profile(column: Column, program: &str, amounts: Amounts) -> anyhow::Result<Profile> {
    let target = Target::start(column, program, &MOCK).await?;
    let asking = Asking::default();
    closed(&target.bases, amounts.clients, SETTLING, asking).await;
    let (processes, lasting) = (target.processes.clone(), amounts.lasting);
    let load = closed(&target.bases, amounts.clients, lasting + 2 * SETTLING, asking);
    let recording = async {
        // The load is on its way by then, and goes on until after the end.
        tokio::time::sleep(SETTLING / 2).await;
        tokio::task::spawn_blocking(move || recording::record(&processes, lasting)).await?
    };
    let (result, profile) = tokio::join!(load, recording);
    let mut profile = profile?;
    let per_second = result.latencies_ms.len() as f64 / result.wall_s;
    profile.requests = per_second * profile.counted_for_s;
    println!("  profiled at {per_second:.0} req/s, {} failed", result.failed);
    Ok(profile)
}

fn print_load(name: &str, result: &LoadResult, before: Cost, processes: &[u32]) {
    let after = Cost::of(processes);
    let count = result.latencies_ms.len() as f64;
    println!(
        "  {name:<24} {:>7.0} req/s, {} failed {}   {:>6.0} req/CPU-s   {:.0} MiB",
        count / result.wall_s,
        result.failed,
        Latency::of(&result.latencies_ms),
        count / (after.cpu_s - before.cpu_s),
        after.resident_mib,
    );
}

/// The stamps are whole milliseconds: the mean tells more than they do one by one.
fn print_hops(Hops { hops, unstamped }: &Hops, of: usize) {
    println!("  open loop, hop by hop (topic)     mean   p50   p95   p99 ms");
    for hop in hops {
        let mean = hop.sample.iter().sum::<f64>() / hop.sample.len().max(1) as f64;
        let [p50, p95, p99] = quantiles::of(hop.sample.clone(), [0.5, 0.95, 0.99]);
        println!("  {:<30} {mean:>7.2} {p50:>5.0} {p95:>5.0} {p99:>5.0}", hop.name);
    }
    if *unstamped > 0 {
        println!("  {unstamped} of {of} not among them: a stamp is missing");
    }
}
