//! The active scheduler dies with much waiting and some running; how long until the standby dispatches?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use relay_bus::{Bus, Record, topics};
use relay_schemas::{Registry, RequestId, TimestampMs, Work};

use crate::load::seed_batch;
use crate::production::{Instance, Production};
use crate::settle::settle_running;
use crate::{ledger, proofs};

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// From the kill to the first work record of a newer scheduler epoch.
    pub first_dispatch: Duration,
    /// Requests that waited.
    pub waiting: u64,
    /// Requests that were leased when it died.
    pub running: usize,
}

/// Kills the leader with `waiting` requests queued, and judges the log once all have ended.
pub async fn scheduler_dies(program: &str, waiting: u64) -> anyhow::Result<Report> {
    let mut deployment = Production::start(program, 2, &["--token-ms", "20", "--tokens", "10"]).await?;
    let bus = ledger::kafka()?;
    let before = leases(&*bus).await?;
    seed_batch(&*bus, TimestampMs::now().0.unsigned_abs(), waiting).await;
    let running = until_running(&*bus, before.len()).await?;
    let epoch = newest_epoch(&*bus).await?;
    let leader = leader(&deployment).await?;
    let killed = TimestampMs::now();
    deployment.kill(&leader);
    let first = first_dispatch_after(&*bus, epoch).await?;
    settle_running(&*bus, &proofs::store()?, &[], Duration::from_secs(120)).await?;
    ensure!(
        twice_under_one_attempt(&*bus).await? == 0,
        "an attempt was dispatched twice"
    );
    let first_dispatch = Duration::from_millis(first.since_ms(killed).max(0).unsigned_abs());
    Ok(Report {
        first_dispatch,
        waiting,
        running,
    })
}

async fn work(bus: &dyn Bus) -> anyhow::Result<Vec<(Record, Work)>> {
    let registry = Registry::default();
    let mut found = Vec::new();
    for topic in [topics::work_short("default"), topics::work_long("default")] {
        for record in ledger::all(bus, &topic).await? {
            if let Ok(work) = registry.decode::<Work>(record.value.as_deref()) {
                found.push((record, work));
            }
        }
    }
    Ok(found)
}

async fn leases(bus: &dyn Bus) -> anyhow::Result<BTreeMap<(RequestId, u32), usize>> {
    let mut leases = BTreeMap::new();
    for (_, work) in work(bus).await? {
        *leases
            .entry((work.request.request_id, work.lease.attempt))
            .or_default() += 1;
    }
    Ok(leases)
}

async fn twice_under_one_attempt(bus: &dyn Bus) -> anyhow::Result<usize> {
    Ok(leases(bus).await?.values().filter(|count| **count > 1).count())
}

async fn newest_epoch(bus: &dyn Bus) -> anyhow::Result<i64> {
    work(bus)
        .await?
        .iter()
        .map(|(_, work)| work.lease.scheduler_epoch)
        .max()
        .context("nothing was ever leased")
}

/// Waits until fifty more leases exist than before.
async fn until_running(bus: &dyn Bus, before: usize) -> anyhow::Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let running = leases(bus).await?.len() - before;
        if running >= 50 {
            return Ok(running);
        }
        ensure!(Instant::now() < deadline, "only {running} leases after 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The scheduler whose metrics say that it leads.
async fn leader(deployment: &Production) -> anyhow::Result<Instance> {
    for number in 0..2 {
        let instance = Instance {
            service: "scheduler",
            number,
        };
        let metrics = crate::http::get(&format!("{}/metrics", deployment.ops_url(&instance)))
            .await?
            .text()
            .await?;
        let leads = metrics
            .lines()
            .any(|line| line.starts_with("relay_scheduler_leader") && line.ends_with(" 1"));
        if leads {
            return Ok(instance);
        }
    }
    bail!("no scheduler says that it leads")
}

async fn first_dispatch_after(bus: &dyn Bus, epoch: i64) -> anyhow::Result<TimestampMs> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let newer = work(bus).await?;
        let newer = newer
            .iter()
            .filter(|(_, work)| work.lease.scheduler_epoch > epoch);
        if let Some(first) = newer.map(|(record, _)| record.timestamp).min() {
            return Ok(first);
        }
        ensure!(Instant::now() < deadline, "no standby dispatched within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
