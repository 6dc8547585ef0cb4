//! The wall clock is set while streams and whole answers run: none is lost, none runs twice, deadlines and heartbeats hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use relay_bus::topics;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ask::{End, Manner, Observation, ask_watched, unique_prompt};
use crate::clocks::Clocks;
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::ledger;
use crate::mock::executions;
use crate::production::Production;
use crate::proofs::{MOST, say, store};
use crate::settle::{settle, settle_running};
use crate::takeover::present_epoch;

/// By how much the clock is set, one after the other: in the end it is right again.
pub const STEPS_MS: [i64; 4] = [3_000, -3_000, 60_000, -60_000];

/// An answer takes 3.3 s, so that a step meets all of them.
const MOCK: [&str; 6] = ["--first-ms", "300", "--token-ms", "200", "--tokens", "16"];
/// Requests of each kind that a step meets.
const EACH: usize = 8;
/// The deadline of one more: with an ingress's grace it is over before the answer is.
const DEADLINE: Duration = Duration::from_millis(800);
/// For whatever must happen; only a deadline that went with the clock would take longer.
const PLENTY: Duration = Duration::from_secs(25);
/// What the scheduler's heartbeats must grow by after a step.
const HEARTBEATS: i64 = 4;

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    /// How often a clock was set.
    pub steps: usize,
    /// Requests that a step met; each was answered once.
    pub answered: usize,
    /// Requests whose deadline passed around a step, and which ended by it.
    pub expired: usize,
}

/// Sets the clock of the embedded gateway, `rounds` times by each of `steps_ms`.
pub async fn embedded(rounds: u64, steps_ms: &[i64]) -> anyhow::Result<Report> {
    let mut gateway = Gateway::prepare(KILLABLE, &MOCK)?;
    let proof = embedded_steps(&mut gateway, rounds, steps_ms).await;
    kept(proof, &mut gateway.folder)
}

async fn embedded_steps(gateway: &mut Gateway, rounds: u64, steps_ms: &[i64]) -> anyhow::Result<Report> {
    let clocks = gateway.with_clocks()?;
    gateway.run(None)?;
    gateway.ready().await?;
    let began = Instant::now();
    let mut stepped = Stepped::new(vec![gateway.base_url.clone()], gateway.backend());
    for _ in 0..rounds {
        for step_ms in steps_ms {
            stepped.meets(&clocks, *step_ms, |_| true).await?;
            ensure!(!gateway.ended(), "it ended: {}", gateway.tail());
        }
    }
    // There is one every 500 ms as long as it leads, but on a busy machine.
    let expected = began.elapsed().as_secs() as i64 / 3;
    settle(gateway, &stepped.saw, MOST).await?;
    let bus = ledger::embedded(&gateway.data())?;
    let heartbeats = ledger::count(&*bus, &topics::scheduler("default")).await?;
    ensure!(
        heartbeats >= expected,
        "{heartbeats} heartbeats, and {expected} are the least of that time"
    );
    Ok(stepped.report)
}

/// Sets the clocks of eight processes on Kafka, `rounds` times by each of the steps: of all at once, then of each kind alone.
pub async fn production(rounds: u64) -> anyhow::Result<Report> {
    let mut deployment = Production::prepare_eight(KILLABLE, &MOCK)?;
    let clocks = deployment.with_clocks()?;
    let mut deployment = deployment.started().await?;
    let proof = production_steps(&mut deployment, &clocks, rounds).await;
    kept(proof, &mut deployment.folder)
}

/// Who is set alone: one of each, and both schedulers, of which one leads.
const ALONE: [&str; 7] = [
    "ingress-0",
    "planner-0",
    "cache-service-0",
    "scheduler-0",
    "scheduler-1",
    "workers-0",
    "trace-sink-0",
];

async fn production_steps(
    deployment: &mut Production,
    clocks: &Clocks,
    rounds: u64,
) -> anyhow::Result<Report> {
    let bus = ledger::kafka()?;
    let mut stepped = Stepped::new(deployment.base_urls.clone(), deployment.backend());
    let epoch = present_epoch(&*bus).await?;
    let scheduler = topics::scheduler("default");
    for _ in 0..rounds {
        for alone in std::iter::once(None).chain(ALONE.map(Some)) {
            for step_ms in STEPS_MS {
                let chosen = |name: &str| alone.is_none_or(|alone| name == alone);
                stepped.meets(clocks, step_ms, chosen).await?;
                if alone.is_some() {
                    // Who is a minute ahead of everybody else rightly finds their new deadlines passed.
                    clocks.step(-step_ms, chosen)?;
                }
                let before = ledger::count(&*bus, &scheduler).await?;
                let deadline = Instant::now() + PLENTY;
                while ledger::count(&*bus, &scheduler).await? < before + HEARTBEATS {
                    ensure!(Instant::now() < deadline, "the scheduler's heartbeats stopped");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let ended = deployment.ended();
                ensure!(ended.is_empty(), "{ended:?} ended");
            }
            say(&format!("{}: {:?}", alone.unwrap_or("all"), stepped.report));
        }
    }
    let now = present_epoch(&*bus).await?;
    ensure!(now == epoch, "the lead changed, from epoch {epoch} to {now}");
    settle_running(&*bus, &store()?, &stepped.saw, MOST).await?;
    deployment.stop_all()?;
    Ok(stepped.report)
}

/// Requests that a step meets.
struct Stepped {
    bases: Vec<String>,
    backend: String,
    seed: u64,
    asked: u64,
    saw: Vec<Observation>,
    report: Report,
}

impl Stepped {
    fn new(bases: Vec<String>, backend: &str) -> Self {
        Self {
            bases,
            backend: backend.to_owned(),
            // No cache knows an answer.
            seed: relay_clock::Clock::system().now().0.unsigned_abs(),
            asked: 0,
            saw: Vec::new(),
            report: Report::default(),
        }
    }

    fn next(&mut self) -> (String, String) {
        self.asked += 1;
        let base = self.bases[self.asked as usize % self.bases.len()].clone();
        (base, unique_prompt(self.seed + self.asked))
    }

    /// Steps the clocks of `chosen` while requests run, and sees each answered by its one run.
    async fn meets(
        &mut self,
        clocks: &Clocks,
        step_ms: i64,
        chosen: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let ran = executions(&self.backend).await?;
        let shown = Arc::new(AtomicUsize::new(0));
        let mut asking = JoinSet::new();
        for manner in [Manner::Streamed, Manner::Whole].repeat(EACH) {
            let (base, prompt) = self.next();
            let shown = Arc::clone(&shown);
            asking.spawn(async move {
                let first = std::sync::Once::new();
                let tell = || {
                    first.call_once(|| {
                        shown.fetch_add(1, Ordering::SeqCst);
                    });
                };
                let http = crate::http::client();
                ask_watched(&http, &base, "tenant-0", &prompt, manner, None, &tell).await
            });
        }
        until("a token in each stream", async || {
            Ok(shown.load(Ordering::SeqCst) >= EACH)
        })
        .await?;
        until("each request at work", async || {
            Ok(executions(&self.backend).await? >= ran + 2 * EACH)
        })
        .await?;
        let (base, prompt) = self.next();
        let expiring = tokio::spawn(expires(base, prompt));
        until("the one with a deadline at work", async || {
            Ok(expiring.is_finished() || executions(&self.backend).await? > ran + 2 * EACH)
        })
        .await?;
        let run = executions(&self.backend).await?;
        clocks.step(step_ms, chosen)?;
        let step = format!("after a step of {step_ms} ms");
        for saw in asking.join_all().await {
            ensure!(
                matches!(saw.end, End::Finished(_)),
                "{step} of a live worker's request a client saw {saw:?}"
            );
            self.saw.push(saw);
        }
        expiring.await?.with_context(|| step.clone())?;
        let twice = executions(&self.backend).await? - run;
        ensure!(twice == 0, "{step} {twice} requests ran twice");
        self.report.steps += 1;
        self.report.answered += 2 * EACH;
        self.report.expired += 1;
        Ok(())
    }
}

/// Asks with a deadline, and sees the request end by it, by a clock that is never set.
async fn expires(base: String, prompt: String) -> anyhow::Result<()> {
    let asked = Instant::now();
    let response = crate::http::client()
        .post(format!("{base}/v1/chat/completions"))
        .header("x-tenant-id", "tenant-0")
        .header("x-relay-deadline-ms", DEADLINE.as_millis().to_string())
        .json(&json!({"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": prompt}]}))
        .send()
        .await?;
    let (status, body): (_, Value) = (response.status().as_u16(), response.json().await?);
    let took = asked.elapsed();
    ensure!(
        status == 504 && body["error"]["code"] == "deadline_exceeded",
        "what had a deadline of {DEADLINE:?} was told {status}, {body} after {took:?}"
    );
    ensure!(
        (DEADLINE..PLENTY).contains(&took),
        "a deadline of {DEADLINE:?} was over after {took:?}"
    );
    Ok(())
}

async fn until(what: &str, met: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PLENTY;
    while !met().await? {
        if Instant::now() > deadline {
            bail!("never {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
