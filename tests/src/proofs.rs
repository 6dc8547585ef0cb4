//! The proofs themselves: `make test` runs each in its quick form, `make prove` as often and as long as the promise asks.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use relay_store::{PostgresOptions, PostgresStore};
use tokio::task::JoinHandle;

use crate::ask::Saw;
use crate::gateway::{Gateway, KILLABLE, server};
use crate::ledger::{self, Ledger};
use crate::load::{self, Load, seed_batch};
use crate::production::{Instance, Production, SERVICES};
use crate::settle::{settle, settle_running};

/// Longest wait for everything accepted to end.
pub const MOST: Duration = Duration::from_secs(90);

/// A gateway whose workers answer slowly enough to be caught at it.
const MOCK: [&str; 2] = ["--token-ms", "2"];

fn short_load(bases: Vec<String>, seed: u64) -> Load {
    Load {
        rate: 40,
        lasting: Duration::from_secs(1),
        seed,
        bases,
    }
}

/// The embedded gateway dies at `point` under load, starts again, and has lost and doubled nothing.
pub async fn embedded_dies_at(point: &str, seed: u64) -> anyhow::Result<Ledger> {
    let mut gateway = Gateway::prepare(KILLABLE, &MOCK)?;
    seed_batch(&*ledger::embedded(&gateway.data())?, seed, 4).await?;
    gateway.run(Some(point))?;
    // A point on the way up kills it before it is ready; any other only under load.
    let mut saw = Vec::new();
    if gateway.ready().await.is_ok() {
        saw = load::run(&short_load(vec![gateway.base_url.clone()], seed), None).await;
    }
    gateway.crashed(Duration::from_secs(20))?;
    gateway.run(None)?;
    gateway.ready().await?;
    saw.extend(load::run(&short_load(vec![gateway.base_url.clone()], seed + 500), None).await);
    settle(&mut gateway, &saw, MOST).await
}

/// `kills` times a mixed load at `rate` until the embedded gateway is killed at a random moment; then it has lost and doubled nothing.
pub async fn embedded_storm(kills: u64, rate: u32, lasting: Duration) -> anyhow::Result<Ledger> {
    let mut gateway = Gateway::prepare(KILLABLE, &MOCK)?;
    let mut saw: Vec<Saw> = Vec::new();
    for round in 0..kills {
        let lines = u64::from(rate) * lasting.as_secs() / 5;
        seed_batch(&*ledger::embedded(&gateway.data())?, 100 + round, lines).await?;
        gateway.run(None)?;
        gateway.ready().await?;
        let load = Load {
            rate,
            lasting,
            seed: 100 + round,
            bases: vec![gateway.base_url.clone()],
        };
        let storm = tokio::spawn(async move { load::run(&load, None).await });
        tokio::time::sleep(lasting.mul_f64(rand::random_range(0.2..0.95))).await;
        gateway.kill();
        saw.extend(storm.await?);
    }
    gateway.run(None)?;
    gateway.ready().await?;
    settle(&mut gateway, &saw, MOST).await
}

/// One process of the production column dies at `point` under load and starts again; nothing is lost or doubled.
pub async fn production_dies_at(point: &str, seed: u64) -> anyhow::Result<Ledger> {
    let mut deployment = Production::prepare(KILLABLE, 1, &MOCK)?;
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
    let mut saw = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut round = 0;
    while !deployment.crashed(&victim)? {
        ensure!(Instant::now() < deadline, "no run reached {point} within 40 s");
        if deployment.ready(Duration::from_secs(20)).await.is_ok() {
            round += 1;
            let load = short_load(deployment.base_urls.clone(), seed + round);
            saw.extend(load::run(&load, Some(bus.clone())).await);
        }
    }
    deployment.run(&victim, None)?;
    deployment.ready(Duration::from_secs(60)).await?;
    saw.extend(
        load::run(
            &short_load(deployment.base_urls.clone(), seed + 500),
            Some(bus.clone()),
        )
        .await,
    );
    settle_running(&*bus, &store()?, &saw, MOST).await
}

/// Two instances of each service under a mixed load; every service dies `kills` times at random moments.
pub async fn production_storm(kills: usize, rate: u32) -> anyhow::Result<Ledger> {
    let mut deployment = Production::start(KILLABLE, 2, &MOCK).await?;
    let bus = ledger::kafka()?;
    seed_batch(&*bus, 1, 20).await?;
    let lasting = Duration::from_secs(2 + 2 * (kills * SERVICES.len()) as u64);
    let load = Load {
        rate,
        lasting,
        seed: 1,
        bases: deployment.base_urls.clone(),
    };
    let storm: JoinHandle<Vec<Saw>> = tokio::spawn({
        let bus = bus.clone();
        async move { load::run(&load, Some(bus)).await }
    });
    for kill in 0..kills {
        for service in SERVICES {
            tokio::time::sleep(Duration::from_millis(rand::random_range(1_000..1_800))).await;
            let victim = Instance {
                service,
                number: kill % 2,
            };
            deployment.kill(&victim);
            tokio::time::sleep(Duration::from_millis(200)).await;
            deployment.run(&victim, None)?;
        }
    }
    settle_running(&*bus, &store()?, &storm.await?, MOST).await
}

/// The store of the production column.
pub fn store() -> anyhow::Result<PostgresStore> {
    let options = PostgresOptions {
        url: server("RELAY_POSTGRES_URL")?,
        ..PostgresOptions::default()
    };
    Ok(PostgresStore::connect(options)?)
}
