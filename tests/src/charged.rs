//! What the scheduler charged its tenants, as its newest snapshot tells it, against the fold of the winning outcomes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use relay_bus::{Bus, topics};
use relay_schemas::{Registry, SchedulerRecord, SchedulerSnapshot, TenantId};

use crate::ledger::{self, Ledger};

/// Prompt and completion tokens by tenant.
pub type Tokens = BTreeMap<TenantId, (i64, i64)>;

/// Waits until a snapshot covers every outcome of the ledger that a worker's lease led to, and holds its counters against them.
///
/// # Errors
/// With both, where they differ; or if no snapshot says it all within `most`.
pub async fn agree(bus: &dyn Bus, ledger: &Ledger, most: Duration) -> anyhow::Result<Tokens> {
    let deadline = Instant::now() + most;
    loop {
        if let Some(snapshot) = newest(bus).await?.filter(|snapshot| covers(snapshot, ledger)) {
            let (charged, folded) = (charged(&snapshot), fold(ledger));
            ensure!(
                charged == folded,
                "tenants were charged {charged:?}, the winning outcomes say {folded:?}"
            );
            return Ok(charged);
        }
        if Instant::now() > deadline {
            bail!("no snapshot of the scheduler covers all outcomes after {most:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether the newest snapshot says of every outcome of the ledger what it was charged.
///
/// # Errors
/// When the log cannot be read.
pub async fn is_covered(bus: &dyn Bus, ledger: &Ledger) -> anyhow::Result<bool> {
    let newest = newest(bus).await?;
    Ok(newest.is_some_and(|snapshot| covers(&snapshot, ledger)))
}

async fn newest(bus: &dyn Bus) -> anyhow::Result<Option<SchedulerSnapshot>> {
    let registry = Registry::default();
    let records = ledger::all(bus, &topics::scheduler("default")).await?;
    let lines = records
        .iter()
        .filter_map(|record| registry.decode::<SchedulerRecord>(record.value.as_deref()).ok());
    Ok(lines.filter_map(|line| line.snapshot).last())
}

fn covers(snapshot: &SchedulerSnapshot, ledger: &Ledger) -> bool {
    let next: BTreeMap<i32, i64> = snapshot
        .folded
        .iter()
        .filter(|folded| folded.topic == topics::OUTCOMES)
        .map(|folded| (folded.partition, folded.next))
        .collect();
    ledger
        .winners
        .values()
        .filter(|(outcome, ..)| outcome.lease.is_some())
        .all(|(_, partition, offset)| next.get(partition).is_some_and(|next| next > offset))
}

/// Tenants that were charged nothing are left out: whether they are remembered says nothing.
fn charged(snapshot: &SchedulerSnapshot) -> Tokens {
    let tenants = snapshot.tenants.iter();
    let tokens = tenants.map(|tenant| {
        (
            tenant.tenant.clone(),
            (tenant.prompt_tokens, tenant.completion_tokens),
        )
    });
    tokens.filter(|(_, tokens)| *tokens != (0, 0)).collect()
}

/// Only who was leased is charged: an answer from the cache costs no worker anything.
fn fold(ledger: &Ledger) -> Tokens {
    let mut tokens = Tokens::new();
    for (outcome, ..) in ledger.winners.values() {
        if outcome.lease.is_some() {
            let sum = tokens.entry(outcome.tenant.clone()).or_default();
            sum.0 += i64::from(outcome.usage.prompt_tokens.0);
            sum.1 += i64::from(outcome.usage.completion_tokens.0);
        }
    }
    tokens.retain(|_, tokens| *tokens != (0, 0));
    tokens
}
