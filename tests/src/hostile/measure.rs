//! The light tenants, and how long they wait.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::attack::{Hostile, UNSERVED};
use super::client::{SERVICE, SHORT, SLOTS, client};
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE, POLICY};
use crate::proofs::say;

/// What a long answer takes, of 64 tokens where one is 20 ms.
const LONG_ANSWER: Duration = Duration::from_millis(200 + 63 * 20);
const LIGHT_TENANTS: u32 = 9;
/// Of each light tenant.
const EVERY: Duration = Duration::from_millis(333);

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// How often, alone and beside in turn; medians of them are compared.
    pub repeats: u64,
    /// The light tenants alone.
    pub alone: Duration,
    /// The light tenants beside the hostile one.
    pub beside: Duration,
}

/// Latencies of the light tenants.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: Duration,
    p99: Duration,
}

/// What the light tenants had, alone and beside a hostile one.
#[derive(Debug)]
pub struct Seen {
    alone: Latency,
    beside: Latency,
    /// One answer of the hostile tenant.
    answer: Duration,
    /// Answers that were measured beside it.
    answers: usize,
}

impl Seen {
    /// What is promised to the light tenants: p50 of half as much again as alone, p99 of one answer of the hostile one's more.
    ///
    /// # Errors
    /// If it is not so.
    pub fn ensure_isolated(&self) -> anyhow::Result<()> {
        ensure!(
            self.beside.p50 <= self.alone.p50.mul_f64(1.5),
            "p50 beside is more than 1.5 × alone: {self}"
        );
        ensure!(
            self.beside.p99 <= self.alone.p99 + self.answer,
            "p99 beside is more than alone and one answer of the hostile tenant's ({:?}): {self}",
            self.answer
        );
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_millis();
        write!(
            formatter,
            "p50 {} → {} ms, p99 {} → {} ms of {} answers",
            ms(self.alone.p50),
            ms(self.beside.p50),
            ms(self.alone.p99),
            ms(self.beside.p99),
            self.answers
        )
    }
}

/// Measures the light tenants alone and beside `hostile`, in turn, each time in a gateway of its own.
///
/// # Errors
/// If one of the light tenants' requests fails, or the attack does not do what it is meant to.
pub async fn beside(hostile: Hostile, windows: Windows) -> anyhow::Result<Seen> {
    let (mut alone, mut beside, mut answers) = (Vec::new(), Vec::new(), 0);
    for _ in 0..windows.repeats {
        let mut gateway = prepare(hostile)?;
        let measured = measure(&mut gateway, hostile, windows).await;
        let [first, second] = kept(measured, &mut gateway.folder)?;
        answers += second.len();
        alone.push(Latency::of(first)?);
        beside.push(Latency::of(second)?);
    }
    let answer = if hostile.is_long() { LONG_ANSWER } else { SERVICE };
    let seen = Seen {
        alone: Latency::median(&alone),
        beside: Latency::median(&beside),
        answer,
        answers,
    };
    say(&format!("{hostile}: {seen}"));
    Ok(seen)
}

/// A gateway of few slots, whose policy knows a model that no worker runs.
fn prepare(hostile: Hostile) -> anyhow::Result<Gateway> {
    // Shares are of tokens, so light answers are of one, whatever is allowed.
    let tokens = if hostile.is_long() { "64" } else { "1" };
    let mock = ["--first-ms", "200", "--token-ms", "20", "--tokens", tokens];
    let gateway = Gateway::prepare(KILLABLE, &mock)?;
    gateway.reconfigure(
        "short_slots: 64, long_slots: 16",
        &format!("short_slots: {SLOTS}, long_slots: {SLOTS}"),
    )?;
    let own = "    - { pool: default, model: mock }\n";
    let unserved = format!("{own}  {UNSERVED}:\n    - {{ pool: default, model: {UNSERVED} }}\n");
    std::fs::write(
        gateway.folder.path().join("policy.yaml"),
        POLICY.replace(own, &unserved),
    )?;
    hostile.configure(&gateway)?;
    Ok(gateway)
}

async fn measure(
    gateway: &mut Gateway,
    hostile: Hostile,
    windows: Windows,
) -> anyhow::Result<[Vec<Duration>; 2]> {
    gateway.run(None)?;
    gateway.ready().await?;
    let light = Light::new(&gateway.base_url, hostile.is_long())?;
    // The first requests open connections and files.
    light.ask_for(Duration::from_secs(1)).await.context("at first")?;
    let alone = light.ask_for(windows.alone).await.context("alone")?;
    let attack = hostile.begin(gateway).await.context("the attack")?;
    let beside = light
        .ask_for(windows.beside)
        .await
        .with_context(|| format!("beside {hostile}"))?;
    attack.end().await?;
    ensure!(!gateway.ended(), "it ended: {}", gateway.tail());
    Ok([alone, beside])
}

/// The light tenants.
struct Light {
    http: reqwest::Client,
    url: String,
    /// Whether every second request takes the long lane.
    takes_both_lanes: bool,
}

impl Light {
    fn new(base: &str, is_hostile_long: bool) -> anyhow::Result<Self> {
        Ok(Self {
            http: client()?,
            url: format!("{base}/v1/chat/completions"),
            takes_both_lanes: !is_hostile_long,
        })
    }

    /// They ask at a steady rate, whatever they are told; how long each answer took.
    async fn ask_for(&self, lasting: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut asking = JoinSet::new();
        let mut tick = tokio::time::interval(EVERY / LIGHT_TENANTS);
        let began = Instant::now();
        let mut number: u32 = 0;
        while began.elapsed() < lasting {
            tick.tick().await;
            number += 1;
            let tenant = number % LIGHT_TENANTS;
            let is_long = self.takes_both_lanes && number / LIGHT_TENANTS % 2 == 1;
            let max_tokens = if is_long { SHORT + 1 } else { 1 };
            // Nothing of it comes from a cache.
            let body = json!({"model": "mock", "temperature": 1, "max_tokens": max_tokens,
                "messages": [{"role": "user", "content": "a light question"}]});
            let request = self
                .http
                .post(&self.url)
                .header("x-tenant-id", format!("light-{tenant}"))
                .json(&body);
            asking.spawn(async move {
                let asked = Instant::now();
                // One that is sent just as its connection is closed for having been idle is sent again, as clients do.
                let again = request.try_clone().context("a body in memory")?;
                let response = match request.send().await {
                    Ok(response) => response,
                    Err(_) => again.send().await.context("a light tenant's request broke")?,
                };
                let (status, text) = (response.status(), response.text().await?);
                let took = asked.elapsed();
                ensure!(
                    status.is_success(),
                    "a light tenant was told {status} after {took:?}: {text}"
                );
                anyhow::Ok(took)
            });
        }
        asking.join_all().await.into_iter().collect()
    }
}

impl Latency {
    fn of(mut took: Vec<Duration>) -> anyhow::Result<Self> {
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)));
        let (p50, p99) = at(50).zip(at(99)).context("nothing was measured")?;
        Ok(Self { p50: *p50, p99: *p99 })
    }

    /// Of each figure by itself.
    fn median(all: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> Duration| {
            let mut figures: Vec<Duration> = all.iter().map(figure).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            p50: median(|one| one.p50),
            p99: median(|one| one.p99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_held_against_alone_and_one_answer() {
        let ms = Duration::from_millis;
        let of = |p50, p99| Latency {
            p50: ms(p50),
            p99: ms(p99),
        };
        for (beside, is_promised) in [
            (of(300, 450), true),
            (of(301, 450), false),
            (of(300, 451), false),
            (of(100, 100), true),
        ] {
            let seen = Seen {
                alone: of(200, 250),
                beside,
                answer: ms(200),
                answers: 1,
            };
            assert_eq!(seen.ensure_isolated().is_ok(), is_promised, "{seen}");
        }
    }

    #[test]
    fn percentiles_and_medians_are_of_what_was_measured() {
        let ms = Duration::from_millis;
        let latency = Latency::of((1..=200).rev().map(ms).collect()).expect("measured");
        assert_eq!((latency.p50, latency.p99), (ms(101), ms(199)));
        assert!(Latency::of(Vec::new()).is_err());
        let of = |p50, p99| Latency {
            p50: ms(p50),
            p99: ms(p99),
        };
        let median = Latency::median(&[of(1, 9), of(3, 7), of(2, 8)]);
        assert_eq!((median.p50, median.p99), (ms(2), ms(8)));
    }
}
