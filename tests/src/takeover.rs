//! The active scheduler dies or stops with much waiting and some running; how long until the standby dispatches?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use relay_bus::{Bus, topics};
use relay_schemas::{OutcomeStatus, Registry, RequestId, SchedulerRecord, SchedulerRecordKind as Kind};

use crate::files::kept;
use crate::leases::{self, Leased, Leases};
use crate::ledger::Ledger;
use crate::load::seed_batch;
use crate::mock::executions;
use crate::production::{Instance, Production};
use crate::proofs::say;
use crate::settle::settle_running;
use crate::{charged, ledger, proofs};

/// Slow enough for a queue to form before its workers, quick enough for the queue to end.
const MOCK: [&str; 2] = ["--first-ms", "1000"];

/// How soon somebody leads once all have started, whatever else the machine has to do.
const LEADS_WITHIN: Duration = Duration::from_secs(60);

/// How the active scheduler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `kill -9`.
    Killed,
    /// SIGTERM, as for an upgrade.
    Stopped,
}

impl Way {
    /// How soon the standby dispatches, as is promised of a machine that has nothing else to do.
    pub fn promised(self) -> Duration {
        match self {
            Self::Killed => Duration::from_secs(5),
            Self::Stopped => Duration::from_secs(1),
        }
    }
}

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// From the signal to the first work record of a newer scheduler epoch.
    pub first_dispatch: Duration,
    /// Requests that waited in its queues then, by its own metrics.
    pub queued: u64,
    /// Requests that were leased then.
    pub running: u64,
    /// What the tenants were charged in the end, which is what the winning outcomes say.
    pub charged: charged::Tokens,
}

/// Ends the leader with `waiting` requests queued, and judges the log once all have ended. The standby must dispatch within `soon`.
pub async fn scheduler_ends(program: &str, waiting: u64, way: Way, soon: Duration) -> anyhow::Result<Report> {
    let mut deployment = Production::start(program, 2, &MOCK).await?;
    let proof = take_over(&mut deployment, waiting, way, soon).await;
    kept(proof, &mut deployment.folder)
}

async fn take_over(
    deployment: &mut Production,
    waiting: u64,
    way: Way,
    soon: Duration,
) -> anyhow::Result<Report> {
    let bus = ledger::kafka()?;
    let began = relay_clock::Clock::system().now();
    let idle = executions(deployment.backend()).await?;
    ensure!(
        idle == 0,
        "{idle} requests of a deployment before ran here: nothing could be counted"
    );
    // What the workers take before the queue has formed does not wait, and on a busy machine they take nearly as fast as the
    // services hand on.
    seed_batch(&*bus, began.0.unsigned_abs(), waiting + waiting / 5 + 1_400).await?;
    let (leader, queued, running) = until_queued(deployment, waiting).await?;
    let epoch = present_epoch(&*bus).await?;
    let mut leases = Leases::from_now(&*bus).await?;
    let ended = relay_clock::Clock::system().now();
    match way {
        Way::Killed => deployment.kill(&leader),
        Way::Stopped => deployment.terminate(&leader),
    }
    let newer = |(at, work): &Leased| (work.lease.scheduler_epoch > epoch).then_some(*at);
    let first = leases.find(Duration::from_secs(30), newer).await;
    let first = first.context("no standby dispatched")?;
    let first_dispatch = Duration::from_millis(first.since_ms(ended).max(0).unsigned_abs());
    say(&format!(
        "{queued} waiting, {running} leased, {way:?}: first dispatch after {first_dispatch:?}; now all shall end"
    ));
    ensure!(
        first_dispatch < soon,
        "{way:?} with {queued} waiting and {running} leased: the standby dispatched after {first_dispatch:?}, later than {soon:?}"
    );
    deployment.drained(&leader)?;
    let most = Duration::from_secs(120 + waiting / 10);
    let ledger = settle_running(&*bus, &proofs::store()?, &[], most).await?;
    let all = leases::since(&*bus, began).await?;
    let twice = leased_twice(&all);
    ensure!(
        twice.is_empty(),
        "leased twice while their workers lived: {} requests, among them {}",
        twice.len(),
        twice[0]
    );
    let executed = executions(deployment.backend()).await?;
    each_ran_once(&ledger, &all, executed)?;
    let charged = charged::agree(&*bus, &ledger, Duration::from_secs(60)).await?;
    deployment.stop_all()?;
    Ok(Report {
        first_dispatch,
        queued,
        running,
        charged,
    })
}

/// Requests with more than one lease.
fn leased_twice(leased: &[Leased]) -> Vec<RequestId> {
    let mut counts: BTreeMap<&RequestId, usize> = BTreeMap::new();
    for (_, work) in leased {
        *counts.entry(&work.request.request_id).or_default() += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(id, _)| id.clone()).collect()
}

/// Each of the leased requests completed, so each was executed; and there were no more executions than requests.
fn each_ran_once(ledger: &Ledger, leased: &[Leased], executed: usize) -> anyhow::Result<()> {
    for (_, work) in leased {
        let id = &work.request.request_id;
        let status = ledger.winners.get(id).map(|(outcome, ..)| outcome.status);
        ensure!(
            status == Some(OutcomeStatus::Completed),
            "{id} was leased to a worker that lived, and ended as {status:?}"
        );
    }
    ensure!(
        executed == leased.len(),
        "{} requests were executed {executed} times while their workers lived",
        leased.len()
    );
    Ok(())
}

/// The epoch of who leads, once somebody does.
pub(crate) async fn present_epoch(bus: &dyn Bus) -> anyhow::Result<i64> {
    let registry = Registry::default();
    let deadline = Instant::now() + LEADS_WITHIN;
    loop {
        let records = ledger::all(bus, &topics::scheduler("default")).await?;
        let lines = records
            .iter()
            .filter_map(|record| registry.decode::<SchedulerRecord>(record.value.as_deref()).ok());
        let led = lines.filter(|line| matches!(line.kind, Kind::Heartbeat | Kind::Snapshot));
        if let Some(epoch) = led.map(|line| line.epoch).max() {
            return Ok(epoch);
        }
        ensure!(Instant::now() < deadline, "nobody leads");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the leader holds what was asked for in its queues and fifty leases; says who it is, and both.
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
                if seen.0 >= waiting && seen.1 >= 50 {
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
pub fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>() as u64
}
