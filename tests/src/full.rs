//! A real disk that fills up and is freed: what was accepted ends, what cannot end is refused, and nobody has to help.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::fs::statvfs;
use tokio::task::JoinSet;

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::disk::Disk;
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::load::TENANTS;
use crate::proofs::{MOST, say};
use crate::settle::settle_after_restart;

const DISK_MIB: u64 = 260;
/// Requests that run when the disk fills.
const RUNNING: u64 = 24;
/// What is left where the reserve is reached: less than 5 % of the disk.
const INTO_THE_RESERVE: u64 = 6 << 20;
/// For how long the disk stays as full as it can be.
const FULL_FOR: Duration = Duration::from_secs(4);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Requests that were refused with `insufficient_storage`.
    pub refused: usize,
    /// Requests that were accepted; each ended.
    pub accepted: usize,
}

/// Fills the disk of a running gateway up to its reserve, then to the last byte, then kills the gateway on it, and frees it each
/// time; then it has lost and doubled nothing.
pub async fn disk_fills() -> anyhow::Result<Report> {
    let mut gateway = Gateway::prepare(KILLABLE, &["--first-ms", "2500"])?;
    let disk = Disk::holding(gateway.folder.path(), &gateway.data(), DISK_MIB)?;
    let proof = fill(&mut gateway, &disk).await;
    gateway.kill();
    kept(proof, &mut gateway.folder)
}

async fn fill(gateway: &mut Gateway, disk: &Disk) -> anyhow::Result<Report> {
    gateway.run(None)?;
    gateway.ready().await?;
    let mut questions = Questions::default();

    let running = questions.begin(&gateway.base_url).await;
    let ballast = Ballast::until(disk.folder(), INTO_THE_RESERVE)?;
    questions.are_refused(gateway).await?;
    questions.all_finish(running).await?;
    say("what ran when the reserve was reached has ended");
    ballast.remove()?;
    questions.go_on(gateway).await?;

    let running = questions.begin(&gateway.base_url).await;
    let ballast = Ballast::until(disk.folder(), 0)?;
    questions.are_refused(gateway).await?;
    tokio::time::sleep(FULL_FOR).await;
    ensure!(!gateway.ended(), "it ended on a full disk: {}", gateway.tail());
    ballast.remove()?;
    questions.all_finish(running).await?;
    say("what ran when nothing was left has ended");
    questions.go_on(gateway).await?;

    let running = questions.begin(&gateway.base_url).await;
    let ballast = Ballast::until(disk.folder(), 0)?;
    gateway.kill();
    gateway.run(None)?;
    tokio::time::sleep(FULL_FOR).await;
    ensure!(
        !gateway.ended(),
        "it does not start on a full disk: {}",
        gateway.tail()
    );
    ballast.remove()?;
    // Their clients saw the connection break; that they end all the same is judged from the log.
    questions.saw.extend(running.join_all().await);
    questions.go_on(gateway).await?;

    gateway.kill();
    let ledger = settle_after_restart(gateway, &questions.saw, MOST).await?;
    Ok(Report {
        refused: questions.refused,
        accepted: ledger.accepted.len(),
    })
}

/// What was asked, and what was seen.
#[derive(Default)]
struct Questions {
    asked: u64,
    refused: usize,
    saw: Vec<Observation>,
}

impl Questions {
    /// The next question, asked.
    fn next(&mut self, base: &str) -> impl Future<Output = Observation> + use<> {
        self.asked += 1;
        let (base, prompt) = (base.to_owned(), unique_prompt(88_000_000 + self.asked));
        let tenant = format!("tenant-{}", self.asked % TENANTS);
        let manner = [Manner::Whole, Manner::Streamed][self.asked as usize % 2];
        async move { ask(&crate::http::client(), &base, &tenant, &prompt, manner, None).await }
    }

    /// Some that will run for a while; returns when they do.
    async fn begin(&mut self, base: &str) -> JoinSet<Observation> {
        let running = (0..RUNNING).map(|_| self.next(base)).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        running
    }

    async fn all_finish(&mut self, running: JoinSet<Observation>) -> anyhow::Result<()> {
        for saw in running.join_all().await {
            ensure!(
                matches!(saw.end, End::Finished(_)),
                "it ran and was accepted: {saw:?}"
            );
            self.saw.push(saw);
        }
        Ok(())
    }

    /// New ones are refused with a 507, and `/readyz` says why.
    async fn are_refused(&mut self, gateway: &Gateway) -> anyhow::Result<()> {
        for _ in 0..4 {
            let saw = self.next(&gateway.base_url).await;
            let refusal = End::Status(507, "insufficient_storage".to_owned());
            ensure!(saw.end == refusal, "there was no room for it: {saw:?}");
            self.saw.push(saw);
            self.refused += 1;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ready = crate::http::get(&format!("{}/readyz", gateway.base_url)).await?;
            let (status, told) = (ready.status().as_u16(), ready.text().await?);
            if status == 503 && told.contains("disk") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "/readyz says {status}: {told}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// With room again it is ready by itself, and answers.
    async fn go_on(&mut self, gateway: &mut Gateway) -> anyhow::Result<()> {
        gateway.ready().await?;
        let saw = self.next(&gateway.base_url).await;
        ensure!(
            matches!(saw.end, End::Finished(_)),
            "there is room again: {saw:?}"
        );
        self.saw.push(saw);
        Ok(())
    }
}

/// A file that takes the room away.
struct Ballast(PathBuf);

impl Ballast {
    /// Leaves `bytes` of the disk.
    fn until(disk: &Path, bytes: u64) -> anyhow::Result<Self> {
        let path = disk.join("ballast");
        let mut file = File::create(&path)?;
        let piece = vec![0x5a_u8; 1 << 20];
        loop {
            let left = statvfs(disk)?;
            let wanted = (left.f_bavail * left.f_frsize).saturating_sub(bytes);
            let length = usize::try_from(wanted)?.clamp(1, piece.len());
            if wanted == 0 && bytes > 0 {
                break;
            }
            match file.write_all(&piece[..length]) {
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                written => written.context("the ballast")?,
            }
        }
        Ok(Self(path))
    }

    fn remove(self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.0)?)
    }
}
