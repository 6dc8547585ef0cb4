//! A rolling restart: one process after the other drains, ends and begins again, in the order of the flow, while clients ask an
//! ingress whose `/readyz` says 200. None of them sees an error or a cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::files::kept;
use crate::load::TENANTS;
use crate::production::{Instance, Production, SERVICES};
use crate::proofs::{MOST, say, store};
use crate::settle::settle_running;
use crate::{http, ledger};

/// Streams take about two seconds: many are in flight whenever a process ends, and each is shorter than its drain.
const MOCK: [&str; 4] = ["--first-ms", "300", "--token-ms", "100"];

/// How slow the machine may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// It has nothing else to do: all is as it ships.
    Quiet,
    /// Others are at work: whoever is slow is not taken for dead.
    Busy,
}

impl Machine {
    /// What differs from how other proofs are configured: they end processes at once.
    fn configure(self, deployment: &Production) -> anyhow::Result<()> {
        match self {
            Self::Quiet => {
                deployment.reconfigure("lame_duck: 0s\n", "")?;
                // 200/s of two seconds each are 400 at once.
                deployment.reconfigure("short_slots: 64", "short_slots: 512")
            }
            Self::Busy => {
                deployment.be_patient()?;
                deployment.reconfigure("lame_duck: 0s", "lame_duck: 8s")
            }
        }
    }
}

/// Between two looks at the ingresses.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A look that is older says nothing any more: less than a lame duck lasts.
const FRESH: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Processes that ended and began again.
    pub restarts: usize,
    /// Requests, all of which were answered whole.
    pub asked: usize,
}

/// Restarts `of_each` instances of each service one after the other under `rate` requests a second: half of them streams, a third of
/// them keyed.
pub async fn restarted_one_by_one(
    program: &str,
    of_each: usize,
    rate: u32,
    machine: Machine,
) -> anyhow::Result<Report> {
    let deployment = Production::prepare(program, 2, &MOCK)?;
    machine.configure(&deployment)?;
    let mut deployment = deployment.started().await?;
    let proof = roll(&mut deployment, of_each, rate).await;
    kept(proof, &mut deployment.folder)
}

async fn roll(deployment: &mut Production, of_each: usize, rate: u32) -> anyhow::Result<Report> {
    let balance = Balance::between(deployment.base_urls.clone());
    let enough = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(balance, rate, Arc::clone(&enough)));
    let mut restarts = 0;
    for service in SERVICES {
        for number in 0..of_each {
            let instance = Instance { service, number };
            deployment.stop(&instance)?;
            deployment.run(&instance, None)?;
            deployment.ready(MOST).await?;
            restarts += 1;
            say(&format!("{instance} drained, and is ready again"));
        }
    }
    enough.store(true, Ordering::Relaxed);
    let saw = load.await?;
    let whole = |saw: &&Observation| !matches!(saw.end, End::Finished(_));
    let failed: Vec<&Observation> = saw.iter().filter(whole).collect();
    ensure!(
        failed.is_empty(),
        "{} of {} were not answered whole, among them {:#?}",
        failed.len(),
        saw.len(),
        &failed[..failed.len().min(5)]
    );
    settle_running(&*ledger::kafka()?, &store()?, &saw, MOST).await?;
    deployment.stop_all()?;
    Ok(Report {
        restarts,
        asked: saw.len(),
    })
}

/// Asks at a steady rate until it is enough, and waits for all answers.
async fn load(balance: Balance, rate: u32, enough: Arc<AtomicBool>) -> Vec<Observation> {
    let seed = relay_clock::Clock::system().now().0.unsigned_abs();
    let mut clients = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut number = 0;
    while !enough.load(Ordering::Relaxed) {
        tick.tick().await;
        number += 1;
        let base = balance.next(number).await;
        clients.spawn(async move {
            let (tenant, prompt) = (
                format!("tenant-{}", number % TENANTS),
                unique_prompt(seed + number),
            );
            let manner = [Manner::Whole, Manner::Streamed][(number % 2) as usize];
            let key = number
                .is_multiple_of(3)
                .then(|| format!("rolling-{seed}-{number}"));
            ask(&http::client(), &base, &tenant, &prompt, manner, key.as_deref()).await
        });
    }
    clients.join_all().await
}

/// Which ingresses are ready, looked at again and again as a load balancer does.
struct Balance {
    /// Those that were, and when they were looked at.
    ready: Arc<Mutex<(Vec<String>, Instant)>>,
    looking: tokio::task::JoinHandle<()>,
}

impl Balance {
    fn between(bases: Vec<String>) -> Self {
        let ready = Arc::new(Mutex::new((bases.clone(), Instant::now())));
        let found = Arc::clone(&ready);
        let looking = tokio::spawn(async move {
            loop {
                let (mut now, at) = (Vec::new(), Instant::now());
                for base in &bases {
                    let look = http::get(&format!("{base}/readyz")).await;
                    if look.is_ok_and(|response| response.status().is_success()) {
                        now.push(base.clone());
                    }
                }
                *found.lock() = (now, at);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { ready, looking }
    }

    /// One that is ready, in turn.
    async fn next(&self, number: u64) -> String {
        loop {
            let (ready, at) = self.ready.lock().clone();
            if !ready.is_empty() && at.elapsed() < FRESH {
                return ready[(number / 2) as usize % ready.len()].clone();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Balance {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
