//! The power goes on the embedded column: what did not reach the disk is gone, and nothing that was promised is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use crate::ask::Observation;
use crate::disk::Disk;
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

/// Kills the gateway under load, cuts the power of the disk that holds its log, and starts it again, `cuts` times.
pub async fn power_cuts(cuts: u64) -> anyhow::Result<Report> {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "15"])?;
    let disk = Disk::make(gateway.folder.path(), 512)?;
    let log = disk.folder().join("log");
    std::fs::create_dir(&log)?;
    std::fs::create_dir_all(gateway.data())?;
    std::os::unix::fs::symlink(&log, gateway.data().join("log"))?;
    let proof = cut_power(&mut gateway, &disk, cuts).await;
    gateway.kill();
    kept(proof, &mut gateway.folder)
}

async fn cut_power(gateway: &mut Gateway, disk: &Disk, cuts: u64) -> anyhow::Result<Report> {
    let mut saw: Vec<Observation> = Vec::new();
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
        let before = size(&gateway.data().join("log"))?;
        disk.cut_power()?;
        let taken = before.saturating_sub(size(&gateway.data().join("log"))?);
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

/// Bytes of the files in `folder`.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
