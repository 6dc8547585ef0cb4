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
    /// Requests that waited in its queues when it died, by its own metrics.
    pub queued: u64,
    /// Requests that were leased then.
    pub running: u64,
}

/// Kills the leader with `waiting` requests queued, and judges the log once all have ended.
pub async fn scheduler_dies(program: &str, waiting: u64) -> anyhow::Result<Report> {
    let mut deployment = Production::start(program, 2, &["--first-ms", "2000"]).await?;
    let bus = ledger::kafka()?;
    // What the workers take at once does not wait: a fifth more than shall wait.
    let lines = waiting + waiting / 5;
    seed_batch(&*bus, TimestampMs::now().0.unsigned_abs(), lines).await?;
    let (leader, queued, running) = until_queued(&deployment, waiting).await?;
    let epoch = newest_epoch(&*bus).await?;
    let killed = TimestampMs::now();
    deployment.kill(&leader);
    let first = first_dispatch_after(&*bus, epoch).await?;
    settle_running(
        &*bus,
        &proofs::store()?,
        &[],
        Duration::from_secs(60 + waiting / 20),
    )
    .await?;
    ensure!(
        ran_twice(&*bus, epoch).await? == 0,
        "a request was leased twice while its worker lived"
    );
    let first_dispatch = Duration::from_millis(first.since_ms(killed).max(0).unsigned_abs());
    Ok(Report {
        first_dispatch,
        queued,
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

/// Requests with more than one lease among those of the last two leaders: their workers never died.
async fn ran_twice(bus: &dyn Bus, epoch: i64) -> anyhow::Result<usize> {
    let mut leases: BTreeMap<RequestId, usize> = BTreeMap::new();
    for (_, work) in work(bus)
        .await?
        .into_iter()
        .filter(|(_, work)| work.lease.scheduler_epoch >= epoch)
    {
        *leases.entry(work.request.request_id).or_default() += 1;
    }
    Ok(leases.values().filter(|count| **count > 1).count())
}

async fn newest_epoch(bus: &dyn Bus) -> anyhow::Result<i64> {
    work(bus)
        .await?
        .iter()
        .map(|(_, work)| work.lease.scheduler_epoch)
        .max()
        .context("nothing was ever leased")
}

/// Waits until the leader holds nine tenths of what was asked for in its queues and fifty leases; says who it is, and both.
async fn until_queued(deployment: &Production, waiting: u64) -> anyhow::Result<(Instance, u64, u64)> {
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut seen = (0, 0);
    while Instant::now() < deadline {
        for number in 0..2 {
            let instance = Instance {
                service: "scheduler",
                number,
            };
            let url = format!("{}/metrics", deployment.ops_url(&instance));
            let metrics = crate::http::get(&url).await?.text().await?;
            if sum(&metrics, "relay_scheduler_leader{") == 1 {
                seen = (
                    sum(&metrics, "relay_scheduler_waiting_requests{"),
                    sum(&metrics, "relay_scheduler_leased_requests{"),
                );
                if seen.0 * 10 >= waiting * 9 && seen.1 >= 50 {
                    return Ok((instance, seen.0, seen.1));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!(
        "never {waiting} waiting and 50 leased; at last {} and {}",
        seen.0,
        seen.1
    )
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
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
