//! Kafka, NATS, Redis and Postgres: each absent when the services start, and each stopped while they work.
//!
//! Either way a service waits and says for what, or goes on without; a client gets its answer or an error that says why;
//! nothing that was accepted is lost; and everything works again without the restart of any process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use relay_bus::Bus;

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::gateway::KILLABLE;
use crate::ledger::{self, Ledger};
use crate::load::{self, Load};
use crate::production::{Instance, Production, SERVICES};
use crate::proofs::{MOST, store};
use crate::servers;
use crate::settle::settle_running;

/// A server, and where its absence shows.
#[derive(Debug, Clone, Copy)]
pub struct Dependency {
    /// As the harness names it.
    pub server: &'static str,
    /// As `/readyz` names it.
    named: &'static str,
    /// Whose `/readyz`.
    by: &'static [&'static str],
    /// Whether requests can be answered without it.
    dispensable: bool,
}

/// All four.
pub const DEPENDENCIES: [Dependency; 4] = [
    Dependency {
        server: "redis",
        named: "redis",
        by: &["cache-service"],
        dispensable: true,
    },
    Dependency {
        server: "postgres",
        named: "store",
        by: &["trace-sink"],
        dispensable: true,
    },
    Dependency {
        server: "nats",
        named: "control",
        by: &SERVICES,
        dispensable: false,
    },
    Dependency {
        server: "kafka",
        named: "bus",
        by: &SERVICES,
        dispensable: false,
    },
];

/// Longest wait until every process that needs a server has named it.
const NAMED: Duration = Duration::from_secs(45);
/// Longest wait for the services after a server has come back.
const BACK: Duration = Duration::from_secs(60);

/// Starts the services while `dependency` is away, lets it come, and sees the first request answered.
///
/// # Errors
/// If its absence is not named, a client is left in the dark, or the services do not find it.
pub async fn absent_at_start(dependency: Dependency) -> anyhow::Result<()> {
    let mut deployment = Production::prepare(KILLABLE, 1, &[])?;
    deployment.apply_topics()?;
    let mut away = Away::begin(dependency)?;
    for instance in deployment.instances() {
        deployment.run(&instance, None)?;
    }
    let prompt = unique_prompt(7_000_000);
    named(&deployment, dependency, &prompt).await?;
    if dependency.dispensable {
        serves(&deployment, dependency).await?;
    } else {
        let meanwhile = ask_once(&deployment, &prompt).await;
        ensure!(
            matches!(&meanwhile.end, End::Status(503, code) if !code.is_empty()),
            "without {} a client saw {meanwhile:?}",
            dependency.server
        );
    }
    away.end()?;
    deployment.ready(BACK).await?;
    serves(&deployment, dependency).await
}

/// Stops each server in turn for `away` under a load of streamed, whole, cancelled, repeated and batch requests; returns what the
/// raw log says once all have ended.
///
/// # Errors
/// If anything is lost or doubled, a client is left in the dark, or a process has to be started again.
pub async fn each_stopped_under_load(away: Duration) -> anyhow::Result<Ledger> {
    let mut deployment = Production::start(KILLABLE, 1, &[]).await?;
    let bus = ledger::kafka()?;
    let mut saw = Vec::new();
    for (number, dependency) in DEPENDENCIES.into_iter().enumerate() {
        let load = Load {
            rate: 20,
            lasting: away + Duration::from_secs(4),
            seed: 50 + number as u64,
            bases: deployment.base_urls.clone(),
        };
        let loaded = tokio::spawn({
            let bus = bus.clone();
            async move { load::run(&load, Some(bus)).await }
        });
        until_accepted(&*bus).await?;
        let mut stopped = Away::begin(dependency)?;
        let began = Instant::now();
        named(&deployment, dependency, &unique_prompt(7_100_000)).await?;
        if dependency.dispensable {
            serves(&deployment, dependency).await?;
        }
        tokio::time::sleep(away.saturating_sub(began.elapsed())).await;
        stopped.end()?;
        let clients = loaded.await?;
        let dark: Vec<_> = clients
            .iter()
            .filter(|saw| !is_honest(dependency, &saw.end))
            .collect();
        ensure!(
            dark.is_empty(),
            "{} was away and {} clients saw what is no consequence of that (unless this machine was too busy), such as {:?}",
            dependency.server,
            dark.len(),
            dark[0]
        );
        eprintln!("  {} away: {}", dependency.server, ends(&clients));
        saw.extend(clients);
        deployment.ready(BACK).await?;
        serves(&deployment, dependency).await?;
    }
    let ended = deployment.ended();
    ensure!(ended.is_empty(), "{ended:?} ended instead of waiting");
    settle_running(&*bus, &store()?, &saw, MOST).await
}

/// A stopped server, which comes back in any case.
struct Away(Option<&'static str>);

impl Away {
    fn begin(dependency: Dependency) -> anyhow::Result<Self> {
        servers::stop(dependency.server)?;
        Ok(Self(Some(dependency.server)))
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.0.take().map_or(Ok(()), servers::start)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("a server stays away: {error:#}");
        }
    }
}

/// Waits until every process that needs it names the missing server. One that is only met at work is met by asking.
async fn named(deployment: &Production, dependency: Dependency, prompt: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + NAMED;
    for service in dependency.by {
        let instance = Instance { service, number: 0 };
        let mut asked = 0;
        loop {
            let told = deployment.dependencies(&instance).await;
            match told.get(dependency.named).map(String::as_str) {
                // Until it is tried nothing is known of it.
                None | Some("ok" | "not reached yet") => {}
                Some(reason) => {
                    eprintln!("  {service} without {}: {reason}", dependency.server);
                    break;
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{service} does not say within {NAMED:?} that {} is away: {told:?}",
                dependency.server
            );
            if dependency.dispensable {
                asked += 1;
                ask_once(deployment, &format!("{prompt}, {asked}")).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn ask_once(deployment: &Production, prompt: &str) -> Observation {
    let http = crate::http::client();
    ask(
        &http,
        &deployment.base_urls[0],
        "tenant-0",
        prompt,
        Manner::Streamed,
        None,
    )
    .await
}

/// What a client may be told while a server is away: its answer; or, where none can be given without it, that there are too
/// many already, that the house cannot take or see the request now, that no worker is there, or that a worker or the time was lost
/// over it. Never a mistake of the house's own.
pub(crate) fn is_honest(away: Dependency, end: &End) -> bool {
    const HONEST: [&str; 8] = [
        "too_many_in_flight",
        "queue_full",
        "tenant_queue_full",
        "service_unavailable",
        "unknown_result",
        "worker_lost",
        "no_worker",
        "deadline_exceeded",
    ];
    match end {
        End::Finished(_) | End::Left => true,
        // Under a key only Postgres knows whether the request has ended before.
        End::Status(503, code) if away.server == "postgres" => {
            ["unknown_result", "idempotency_unavailable"].contains(&code.as_str())
        }
        End::ErrorEvent(code) if away.server == "postgres" => code == "unknown_result",
        _ if away.dispensable => false,
        End::Status(status, code) => [429, 503, 504].contains(status) && HONEST.contains(&code.as_str()),
        End::ErrorEvent(code) => HONEST.contains(&code.as_str()),
        End::Broken => false,
    }
}

/// How often each end was seen, for people.
pub(crate) fn ends(clients: &[Observation]) -> String {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for saw in clients {
        *counted.entry(format!("{:?}", saw.end)).or_default() += 1;
    }
    let told: Vec<_> = counted
        .iter()
        .map(|(end, count)| format!("{count} {end}"))
        .collect();
    told.join(", ")
}

/// Waits until the log has grown by a request.
pub(crate) async fn until_accepted(bus: &dyn Bus) -> anyhow::Result<()> {
    let accepted = || ledger::count(bus, relay_bus::topics::REQUESTS);
    let (before, deadline) = (accepted().await?, Instant::now() + Duration::from_secs(20));
    while accepted().await? == before {
        ensure!(Instant::now() < deadline, "nothing is accepted under load");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A streamed answer comes, sooner or later, without a restart of anything.
async fn serves(deployment: &Production, dependency: Dependency) -> anyhow::Result<()> {
    let deadline = Instant::now() + BACK;
    let mut number = 7_200_000;
    loop {
        number += 1;
        let prompt = format!("{}, of {}", unique_prompt(number), dependency.server);
        let saw = ask_once(deployment, &prompt).await;
        if matches!(saw.end, End::Finished(_)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("no answer within {BACK:?}, about {}: {saw:?}", dependency.server);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
