//! Clients that ask by key until they are told, while the gateway is killed again and again: each key has one end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::task::JoinSet;

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::load::TENANTS;
use crate::meaning::{Meaning, means};
use crate::proofs::{MOST, say};
use crate::settle::settle_after_restart;

/// Clients that ask at once.
const CLIENTS: u64 = 24;
/// The longest that one key is asked for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions for one key.
const PAUSE: Duration = Duration::from_millis(50);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// How often the process was killed.
    pub kills: u64,
    /// Keys that were asked for, each until it was told its end twice.
    pub keys: u64,
    /// Questions, those that were cut short included.
    pub questions: usize,
}

/// Kills the embedded gateway at random moments for `lasting`, under a load of keyed requests; then it has lost and doubled nothing.
pub async fn killed_at_random(lasting: Duration) -> anyhow::Result<Report> {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "4"])?;
    let proof = kill(&mut gateway, lasting).await;
    kept(proof, &mut gateway.folder)
}

async fn kill(gateway: &mut Gateway, lasting: Duration) -> anyhow::Result<Report> {
    let (enough, keys) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (base, enough, keys) = (gateway.base_url.clone(), Arc::clone(&enough), Arc::clone(&keys));
        clients.spawn(async move {
            let mut saw = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                saw.extend(told_twice(&base, keys.fetch_add(1, Ordering::Relaxed)).await?);
            }
            anyhow::Ok(saw)
        });
    }
    let (begin, mut kills) = (Instant::now(), 0);
    while begin.elapsed() < lasting {
        gateway.run(None)?;
        gateway.ready().await?;
        tokio::time::sleep(Duration::from_millis(rand::random_range(50..3_000))).await;
        gateway.kill();
        kills += 1;
        say(&format!(
            "kill {kills}, {:.0} s of {lasting:.0?}",
            begin.elapsed().as_secs_f64()
        ));
    }
    enough.store(true, Ordering::Relaxed);
    gateway.run(None)?;
    let mut saw = Vec::new();
    while let Some(client) = clients.join_next().await {
        saw.extend(client??);
    }
    gateway.kill();
    settle_after_restart(gateway, &saw, MOST).await?;
    let keys = keys.load(Ordering::Relaxed);
    ensure!(
        kills > 1 && keys > CLIENTS,
        "{kills} kills and {keys} keys show nothing"
    );
    Ok(Report {
        kills,
        keys,
        questions: saw.len(),
    })
}

/// Asks by one key until its end is told, and then once more; everything that was seen. A failure that nothing was charged for
/// leaves the key free: what was asked once more ran anew, as a request of its own, and is what the key is told now.
async fn told_twice(base: &str, number: u64) -> anyhow::Result<Vec<Observation>> {
    let (http, prompt) = (crate::http::client(), unique_prompt(77_000_000 + number));
    let (tenant, key) = (format!("tenant-{}", number % TENANTS), format!("key-{number}"));
    let deadline = Instant::now() + PATIENCE;
    let mut saw: Vec<Observation> = Vec::new();
    let mut told: Option<Observation> = None;
    loop {
        let manner = [Manner::Whole, Manner::Streamed][saw.len() % 2];
        let asked = ask(&http, base, &tenant, &prompt, manner, Some(&key)).await;
        saw.push(asked.clone());
        if is_told(&asked) {
            let ran_anew = |first: &&Observation| {
                !matches!(first.end, End::Finished(_)) && first.request_id != asked.request_id
            };
            match told.as_ref().filter(|first| !ran_anew(first)) {
                None => told = Some(asked.clone()),
                Some(first) => {
                    ensure!(
                        is_the_same(first, &asked),
                        "{key} was told two ends: {first:?} and {asked:?}"
                    );
                    return Ok(saw);
                }
            }
        }
        if Instant::now() > deadline {
            bail!("{key} was told no end within {PATIENCE:?}; at last {asked:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn code(end: &End) -> Option<&str> {
    match end {
        End::Status(_, code) | End::ErrorEvent(code) => Some(code),
        End::Finished(_) | End::Broken | End::Left => None,
    }
}

fn is_told(saw: &Observation) -> bool {
    matches!(saw.end, End::Finished(_)) || code(&saw.end).is_some_and(|code| means(code) == Meaning::End)
}

/// A failure is told by a status or an event, and by then a stream may have shown some text.
fn is_the_same(first: &Observation, second: &Observation) -> bool {
    let finished =
        |saw: &Observation| matches!(saw.end, End::Finished(_)).then(|| (saw.end.clone(), saw.text.clone()));
    first.request_id == second.request_id
        && code(&first.end) == code(&second.end)
        && finished(first) == finished(second)
}
