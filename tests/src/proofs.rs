//! The proofs themselves: `make test` runs each in its quick form, `make prove` as often and as long as the promise asks.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use relay_schemas::TimestampMs;
use relay_store::{PostgresOptions, PostgresStore};
use tokio::task::{JoinHandle, JoinSet};

use crate::ask::Observation;
use crate::charged;
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE, server};
use crate::ledger::{self, Ledger};
use crate::load::{self, Load, seed_batch};
use crate::production::{Instance, Production, SERVICES};
use crate::settle::{settle, settle_after_restart, settle_running};
use crate::shares::Shares;

/// Longest wait for everything accepted to end.
pub const MOST: Duration = Duration::from_secs(90);

/// A backend that answers slowly enough to be caught at it.
const MOCK: [&str; 2] = ["--token-ms", "2"];
/// One whose streams last long enough for a client to leave in the middle.
const STORM_MOCK: [&str; 2] = ["--token-ms", "15"];

fn short_load(bases: Vec<String>, seed: u64) -> Load {
    Load {
        rate: 40,
        lasting: Duration::from_secs(1),
        seed,
        bases,
    }
}

/// How the requests come among which a gateway dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comes {
    /// By call and by batch.
    Mixed,
    /// By call alone.
    ByCall,
    /// By batch alone.
    ByBatch,
}

/// Whether a point is passed only where requests go on in another pool.
fn needs_a_hand_over(point: &str) -> bool {
    point.ends_with("_hand_over")
}

/// The embedded gateway dies at `point` under load, starts again, and has lost and doubled nothing.
pub async fn embedded_dies_at(point: &str, comes: Comes, seed: u64) -> anyhow::Result<Ledger> {
    let mut gateway = Gateway::prepare(KILLABLE, &MOCK)?;
    if needs_a_hand_over(point) {
        gateway.with_an_empty_pool_first()?;
    }
    let proof = embedded_crash(&mut gateway, point, comes, seed).await;
    kept(proof, &mut gateway.folder)
}

async fn embedded_crash(
    gateway: &mut Gateway,
    point: &str,
    comes: Comes,
    seed: u64,
) -> anyhow::Result<Ledger> {
    if comes != Comes::ByCall {
        seed_batch(&*ledger::embedded(&gateway.data())?, seed, 4).await?;
    }
    gateway.run(Some(point))?;
    // A point on the way up kills it before it is ready; any other only under load.
    let mut saw = Vec::new();
    if gateway.ready().await.is_ok() && comes != Comes::ByBatch {
        saw = load::run(&short_load(vec![gateway.base_url.clone()], seed), None).await;
    }
    gateway
        .crashed(Duration::from_secs(20))
        .with_context(|| format!("no run reached {point}"))?;
    gateway.run(None)?;
    gateway.ready().await?;
    saw.extend(load::run(&short_load(vec![gateway.base_url.clone()], seed + 500), None).await);
    settle(gateway, &saw, MOST).await
}

/// What a storm left behind.
pub struct Storm {
    /// The log.
    pub ledger: Ledger,
    /// What the load came to.
    pub shares: Shares,
    /// How often the process, or each service, was killed.
    pub kills: u64,
}

/// A mixed load at `rate` until the embedded gateway is killed at a random moment up to `longest`, `kills` times; then it has
/// lost and doubled nothing.
pub async fn embedded_storm(kills: u64, rate: u32, longest: Duration) -> anyhow::Result<Storm> {
    let mut gateway = Gateway::prepare(KILLABLE, &STORM_MOCK)?;
    let proof = embedded_kills(&mut gateway, kills, rate, longest).await;
    kept(proof, &mut gateway.folder)
}

async fn embedded_kills(
    gateway: &mut Gateway,
    kills: u64,
    rate: u32,
    longest: Duration,
) -> anyhow::Result<Storm> {
    let mut saw: Vec<Observation> = Vec::new();
    for kill in 0..kills {
        let lasting = longest.mul_f64(rand::random_range(0.4..1.0));
        // Only the process itself can write to its log, so what comes by batch is there before it.
        let lines = load::batch_lines_for(rate, lasting);
        seed_batch(&*ledger::embedded(&gateway.data())?, 100 + kill, lines).await?;
        gateway.run(None)?;
        gateway.ready().await?;
        saw.extend(load::ask_what_is_repeated(&gateway.base_url).await);
        let load = Load {
            rate,
            // Some still ask when nobody answers.
            lasting: lasting + Duration::from_millis(200),
            seed: 100 + kill,
            bases: vec![gateway.base_url.clone()],
        };
        let storm = tokio::spawn(async move { load::run(&load, None).await });
        tokio::time::sleep(lasting).await;
        gateway.kill();
        say(&format!("kill {} of {kills}, after {lasting:.1?}", kill + 1));
        saw.extend(storm.await?);
    }
    let ledger = settle_after_restart(gateway, &saw, MOST).await?;
    Ok(Storm {
        shares: Shares::of(&ledger, TimestampMs(0)),
        ledger,
        kills,
    })
}

/// One process of the production column dies at `point` under load and starts again; nothing is lost or doubled.
pub async fn production_dies_at(point: &str, seed: u64) -> anyhow::Result<Ledger> {
    let mut deployment = Production::prepare(KILLABLE, 1, &MOCK)?;
    if needs_a_hand_over(point) {
        deployment.with_an_empty_pool_first()?;
    }
    let proof = production_crash(&mut deployment, point, seed).await;
    kept(proof, &mut deployment.folder)
}

async fn production_crash(deployment: &mut Production, point: &str, seed: u64) -> anyhow::Result<Ledger> {
    deployment.apply_topics()?;
    let service = SERVICES
        .into_iter()
        .find(|service| point.split('.').next() == Some(service));
    let Some(service) = service else {
        bail!("{point} names no service")
    };
    let victim = Instance { service, number: 0 };
    for instance in deployment.instances() {
        deployment.run(&instance, (instance == victim).then_some(point))?;
    }
    let bus = ledger::kafka()?;
    seed_batch(&*bus, seed, 4).await?;
    let mut clients = JoinSet::new();
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut round = 0;
    while !deployment.crashed(&victim)? {
        ensure!(Instant::now() < deadline, "no run reached {point} within 40 s");
        if deployment.ready(Duration::from_secs(20)).await.is_err() {
            continue;
        }
        round += 1;
        let load = short_load(deployment.base_urls.clone(), seed + round);
        let bus = bus.clone();
        let round = clients.spawn(async move { load::run(&load, Some(bus)).await });
        while !round.is_finished() && !deployment.crashed(&victim)? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // At once: its clients wait for it.
    deployment.run(&victim, None)?;
    deployment.ready(Duration::from_secs(60)).await?;
    let mut saw: Vec<Observation> = clients.join_all().await.into_iter().flatten().collect();
    let again = short_load(deployment.base_urls.clone(), seed + 500);
    saw.extend(load::run(&again, Some(bus.clone())).await);
    let ledger = settle_running(&*bus, &store()?, &saw, MOST).await?;
    deployment.stop_all()?;
    Ok(ledger)
}

/// Two instances of each process, which hosts what one of `hosted` names, under a mixed load; every one dies `kills` times at random
/// moments, and more often where there are fewer: as many deaths as of six.
pub async fn production_storm(hosted: &[&'static str], kills: u64, rate: u32) -> anyhow::Result<Storm> {
    let deployment = Production::prepare_sharing(KILLABLE, hosted, 2, &STORM_MOCK)?;
    let mut deployment = deployment.started().await?;
    let proof = production_kills(&mut deployment, hosted, kills, rate).await;
    kept(proof, &mut deployment.folder)
}

async fn production_kills(
    deployment: &mut Production,
    hosted: &[&'static str],
    kills: u64,
    rate: u32,
) -> anyhow::Result<Storm> {
    let bus = ledger::kafka()?;
    let kills = kills * (SERVICES.len() / hosted.len()) as u64;
    let mut saw = load::ask_what_is_repeated(&deployment.base_urls[0]).await;
    let since = relay_clock::Clock::system().now();
    let seed = since.0.unsigned_abs() / 1_000;
    seed_batch(&*bus, seed, 20).await?;
    let load = Load {
        rate,
        lasting: Duration::from_secs(4 + 2 * kills * hosted.len() as u64),
        seed,
        bases: deployment.base_urls.clone(),
    };
    let storm: JoinHandle<Vec<Observation>> = tokio::spawn({
        let bus = bus.clone();
        async move { load::run(&load, Some(bus)).await }
    });
    for kill in 0..kills {
        for &service in hosted {
            tokio::time::sleep(Duration::from_millis(rand::random_range(1_000..1_800))).await;
            let number = (kill % 2) as usize;
            let victim = Instance { service, number };
            deployment.kill(&victim);
            say(&format!("kill {} of {kills}: {service}-{number}", kill + 1));
            tokio::time::sleep(Duration::from_millis(200)).await;
            deployment.run(&victim, None)?;
        }
    }
    ensure!(!storm.is_finished(), "the load ended before the last kill");
    saw.extend(storm.await?);
    let ledger = settle_running(&*bus, &store()?, &saw, MOST).await?;
    charged::agree(&*bus, &ledger, MOST).await?;
    deployment.stop_all()?;
    Ok(Storm {
        shares: Shares::of(&ledger, since),
        ledger,
        kills,
    })
}

/// How a proof goes on, for people who wait.
pub fn say(what: &str) {
    eprintln!("  {what}");
}

/// The store of the production column.
pub fn store() -> anyhow::Result<PostgresStore> {
    let options = PostgresOptions {
        url: server("RELAY_POSTGRES_URL")?.into(),
        ..PostgresOptions::default()
    };
    Ok(PostgresStore::connect(options)?)
}
