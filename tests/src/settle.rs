//! Runs a gateway until everything it has accepted has ended, and judges it from the raw log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use relay_bus::{Partition, topics};
use relay_schemas::{OutcomeStatus, RequestId};
use relay_store::{Outcomes, SqliteStore, TraceFilter, Traces};

use crate::ask::Observation;
use crate::charged;
use crate::gateway::Gateway;
use crate::ledger::{self, Ledger};
use crate::verdict::violations;

/// Starts a gateway that died once more, settles it, and holds what its tenants were charged against its log.
///
/// # Errors
/// As [`settle`], and if the charges differ.
pub async fn settle_after_restart(
    gateway: &mut Gateway,
    saw: &[Observation],
    most: Duration,
) -> anyhow::Result<Ledger> {
    gateway.run(None)?;
    gateway.ready().await?;
    let deadline = Instant::now() + most;
    let ledger = settle(gateway, saw, most).await?;
    // A scheduler that was stopped while it still recovered has written no snapshot.
    while !charged::is_covered(&*ledger::embedded(&gateway.data())?, &ledger).await?
        && Instant::now() < deadline
    {
        gateway.run(None)?;
        gateway.ready().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        gateway.stop()?;
    }
    let bus = ledger::embedded(&gateway.data())?;
    charged::agree(&*bus, &ledger, Duration::ZERO).await?;
    Ok(ledger)
}

/// Drains the gateway, reads its log, and lets it run on while something is unfinished; at most for `most`.
///
/// # Errors
/// With every violation that is left then.
pub async fn settle(gateway: &mut Gateway, saw: &[Observation], most: Duration) -> anyhow::Result<Ledger> {
    let deadline = Instant::now() + most;
    loop {
        gateway.stop()?;
        let ledger = ledger::read(&*ledger::embedded(&gateway.data())?).await?;
        let traces = traces(&SqliteStore::open(&gateway.data().join("relay.sqlite")).await?).await?;
        let wrong = violations(&ledger, saw, Some(&traces));
        if wrong.is_empty() {
            return Ok(ledger);
        }
        if Instant::now() > deadline {
            bail!("{} violations after {most:?}:\n{}", wrong.len(), wrong.join("\n"));
        }
        gateway.run(None)?;
        gateway.ready().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Every trace row, by request, page by page.
pub async fn traces(store: &dyn Traces) -> anyhow::Result<BTreeMap<RequestId, OutcomeStatus>> {
    let mut all = BTreeMap::new();
    let mut filter = TraceFilter {
        limit: TraceFilter::MOST,
        ..TraceFilter::default()
    };
    loop {
        let page = store.list(&filter).await?;
        let Some(last) = page.last() else { return Ok(all) };
        (filter.before, filter.before_id) = (Some(last.ended_at), Some(last.request_id.clone()));
        all.extend(page.into_iter().map(|row| (row.request_id, row.status)));
    }
}

/// Waits until everything that a running deployment has accepted has ended, judging from the raw log again and again.
///
/// # Errors
/// With every violation that is left after `most`.
pub async fn settle_running(
    bus: &dyn relay_bus::Bus,
    store: &dyn Traces,
    saw: &[Observation],
    most: Duration,
) -> anyhow::Result<Ledger> {
    let deadline = Instant::now() + most;
    loop {
        let ledger = ledger::read(bus).await?;
        let wrong = violations(&ledger, saw, Some(&traces(store).await?));
        if wrong.is_empty() {
            return Ok(ledger);
        }
        if Instant::now() > deadline {
            let first: Vec<_> = wrong.iter().take(40).map(String::as_str).collect();
            bail!("{} violations after {most:?}:\n{}", wrong.len(), first.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until the tables hold every outcome that is in the log by now.
pub async fn folded(bus: &dyn relay_bus::Bus, store: &dyn Outcomes, most: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + most;
    let mut ends = BTreeMap::new();
    for number in 0..bus.partitions(topics::OUTCOMES).await? {
        let range = bus.range(&Partition::new(topics::OUTCOMES, number)).await?;
        ends.insert(number, range.high);
    }
    loop {
        let folded = store.folded().await?;
        let is_folded =
            |(partition, end): (&i32, &i64)| folded.get(partition).is_some_and(|at| at.next >= *end);
        if ends.iter().all(is_folded) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "outcomes end at {ends:?}, folded are {folded:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
