//! Kafka freezes and goes on: no connection breaks, no broker is gone, and nothing is answered. Eight processes at work.
//!
//! Nothing that was accepted is lost, no worker that lives is taken for dead, and everything serves again by itself.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use relay_schemas::{Outcome, OutcomeStatus};

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::files::kept;
use crate::gateway::KILLABLE;
use crate::ledger::{self, Ledger};
use crate::load::{self, Load};
use crate::mock::executions;
use crate::outages::{DEPENDENCIES, Dependency, ends, is_honest, until_accepted};
use crate::production::Production;
use crate::proofs::{MOST, say, store};
use crate::servers;
use crate::settle::settle_running;

/// How long Kafka says nothing: within what clients wait, past the members' sessions, past requests, past nearly everything.
pub const STALLS: [Duration; 4] = [
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
    Duration::from_secs(40),
];

/// Answers take a second, so that some run when it begins and some when it ends.
const MOCK: [&str; 2] = ["--token-ms", "60"];
/// How long the load goes on before and after.
const AROUND: Duration = Duration::from_secs(4);
/// Longest wait until everything serves again.
const BACK: Duration = Duration::from_secs(60);

/// What was seen.
pub struct Report {
    /// How often Kafka stopped answering.
    pub stalls: usize,
    /// Requests that were accepted; each has one winner.
    pub accepted: usize,
    /// Outcomes that came second.
    pub superseded: usize,
    /// Requests that were answered by a worker, or cancelled.
    pub worked: usize,
    /// Requests that came to the endpoint.
    pub ran: usize,
}

/// Stops Kafka `rounds` times for each of `lengths` under a mixed load.
///
/// # Errors
/// If anything is lost or doubled, a living worker is taken for dead, or a process ends or has to be started again.
pub async fn kafka_stalls(rounds: u64, lengths: &[Duration]) -> anyhow::Result<Report> {
    let deployment = Production::prepare_eight(KILLABLE, &MOCK)?;
    let mut deployment = deployment.started().await?;
    let proof = stalls(&mut deployment, rounds, lengths).await;
    kept(proof, &mut deployment.folder)
}

async fn stalls(deployment: &mut Production, rounds: u64, lengths: &[Duration]) -> anyhow::Result<Report> {
    let [.., kafka] = DEPENDENCIES;
    // Whatever earlier proofs left in the log; what was accepted since is what is judged here.
    let before = ledger::read(&*ledger::kafka()?).await?;
    let mut saw = Vec::new();
    let mut count = 0;
    for round in 0..rounds {
        for length in lengths {
            count += 1;
            saw.extend(stalled(deployment, kafka, *length, count as u64).await?);
            deployment.ready(BACK).await?;
            serves(deployment, &mut saw).await?;
            let ended = deployment.ended();
            ensure!(
                ended.is_empty(),
                "{ended:?} ended after {length:?} without an answer"
            );
            // A client of its own each time: what is judged is what the services do, not what this one would.
            let ledger = settle_running(&*ledger::kafka()?, &store()?, &saw, MOST).await?;
            let lost = lost(&ledger, &before);
            ensure!(
                lost.is_empty(),
                "{} of living workers' requests ended as worker_lost after {length:?} without an answer: {:?}",
                lost.len(),
                lost.iter().take(5).collect::<Vec<_>>()
            );
            say(&format!(
                "round {} of {rounds}, {length:?}: everything serves again",
                round + 1
            ));
        }
    }
    let ledger = settle_running(&*ledger::kafka()?, &store()?, &saw, MOST).await?;
    let ran = executions(deployment.backend()).await?;
    deployment.stop_all()?;
    let came_to_work = [OutcomeStatus::Completed, OutcomeStatus::Cancelled];
    let worked = new(&ledger, &before).filter(|outcome| came_to_work.contains(&outcome.status));
    Ok(Report {
        stalls: count,
        accepted: ledger.accepted.len() - before.accepted.len(),
        superseded: ledger.superseded - before.superseded,
        worked: worked.count(),
        ran,
    })
}

/// One stall under load; what the clients saw.
async fn stalled(
    deployment: &Production,
    kafka: Dependency,
    length: Duration,
    number: u64,
) -> anyhow::Result<Vec<Observation>> {
    let bus = ledger::kafka()?;
    let load = Load {
        rate: 20,
        lasting: length + 2 * AROUND,
        // No cache knows what a load before asked.
        seed: relay_clock::Clock::system().now().0.unsigned_abs() / 1_000 + number,
        bases: deployment.base_urls.clone(),
    };
    let loaded = tokio::spawn({
        let bus = bus.clone();
        async move { load::run(&load, Some(bus)).await }
    });
    until_accepted(&*bus).await?;
    tokio::time::sleep(AROUND / 2).await;
    let frozen = Frozen::begin()?;
    tokio::time::sleep(length).await;
    frozen.end()?;
    let clients = loaded.await?;
    say(&format!("{length:?}: {}", ends(&clients)));
    let dark = clients.iter().find(|saw| !is_honest(kafka, &saw.end));
    ensure!(
        dark.is_none(),
        "Kafka said nothing for {length:?}, and a client saw what is no consequence of that: {dark:?}"
    );
    Ok(clients)
}

/// How what was not there before ended.
fn new<'a>(ledger: &'a Ledger, before: &'a Ledger) -> impl Iterator<Item = &'a Outcome> {
    let new = ledger
        .winners
        .iter()
        .filter(|(id, _)| !before.winners.contains_key(*id));
    new.map(|(_, (outcome, ..))| outcome)
}

/// Requests that ended as `worker_lost` though no worker was.
fn lost<'a>(ledger: &'a Ledger, before: &'a Ledger) -> Vec<&'a str> {
    new(ledger, before)
        .filter(|outcome| outcome.code.as_deref() == Some("worker_lost"))
        .map(|outcome| outcome.request_id.as_str())
        .collect()
}

/// Kafka while it says nothing; it goes on in any case.
struct Frozen(bool);

impl Frozen {
    fn begin() -> anyhow::Result<Self> {
        servers::pause("kafka")?;
        Ok(Self(true))
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.0 = false;
        servers::resume("kafka")
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.0
            && let Err(error) = servers::resume("kafka")
        {
            eprintln!("Kafka stays frozen: {error:#}");
        }
    }
}

/// Streams and whole answers come through every ingress again, several in a row.
async fn serves(deployment: &Production, saw: &mut Vec<Observation>) -> anyhow::Result<()> {
    let deadline = Instant::now() + BACK;
    let mut number = relay_clock::Clock::system().now().0.unsigned_abs();
    for base in &deployment.base_urls {
        let mut in_a_row = 0;
        while in_a_row < 4 {
            number += 1;
            let manner = [Manner::Streamed, Manner::Whole][in_a_row % 2];
            let http = crate::http::client();
            let one = ask(&http, base, "tenant-0", &unique_prompt(number), manner, None).await;
            in_a_row = match one.end {
                End::Finished(_) => in_a_row + 1,
                _ if Instant::now() > deadline => {
                    bail!("{base} does not serve again within {BACK:?}: {one:?}")
                }
                _ => 0,
            };
            saw.push(one);
        }
    }
    Ok(())
}
