//! The power goes on the embedded column: everything written since the last sync is gone, and nothing that was promised is.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use relay_bus::embedded::cut_to_last_sync;

use crate::ask::Saw;
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::ledger;
use crate::load::{self, Load, seed_batch};
use crate::proofs::{MOST, say};
use crate::settle::settle_after_restart;

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// What the cuts took off the log.
    pub bytes: u64,
    /// Requests whose clients were told an id, and so that they were accepted.
    pub acknowledged: usize,
}

/// Kills the gateway under load, cuts its log back to the last sync, and starts it again, `cuts` times.
pub async fn power_cuts(cuts: u64) -> anyhow::Result<Report> {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "15"])?;
    gateway.configure("bus: { kind: embedded, record_syncs: true }\n")?;
    let proof = cut_power(&mut gateway, cuts).await;
    kept(proof, &mut gateway.folder)
}

async fn cut_power(gateway: &mut Gateway, cuts: u64) -> anyhow::Result<Report> {
    let mut saw: Vec<Saw> = Vec::new();
    let mut bytes = 0;
    seed_batch(&*ledger::embedded(&gateway.data())?, 1, 20).await?;
    for cut in 0..cuts {
        gateway.run(None)?;
        gateway.ready().await?;
        let load = Load {
            rate: 100,
            lasting: Duration::from_secs(2),
            seed: 300 + cut,
            bases: vec![gateway.base_url.clone()],
        };
        let storm = tokio::spawn(async move { load::run(&load, None).await });
        tokio::time::sleep(Duration::from_millis(rand::random_range(600..1_900))).await;
        gateway.kill();
        let taken = cut_to_last_sync(&gateway.data().join("log")).context("cutting the log")?;
        say(&format!("power cut {} of {cuts} took {taken} bytes", cut + 1));
        bytes += taken;
        saw.extend(storm.await?);
    }
    settle_after_restart(gateway, &saw, MOST).await?;
    // That the log holds each of them was judged with all else.
    let told = saw.iter().filter(|saw| saw.accepted());
    let acknowledged: BTreeSet<_> = told.filter_map(|saw| saw.request_id.as_deref()).collect();
    ensure!(bytes > 0, "no cut took anything: nothing was shown");
    Ok(Report {
        bytes,
        acknowledged: acknowledged.len(),
    })
}
