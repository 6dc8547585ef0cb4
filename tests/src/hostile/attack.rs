//! What a hostile tenant does, all that an HTTP client can.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{SERVICE, SHORT, SLOTS, TENANT, client};
use super::sockets;
use crate::gateway::Gateway;
use crate::takeover::sum;

/// The model that the policy knows and no worker runs.
pub const UNSERVED: &str = "nobody-runs-this";

/// Requests of a hog that are always under way: several times what there are slots.
const HOG: usize = 100;
/// Prompts that fail, of 200 KB each.
const BANK: usize = 60;
/// Large bodies at once.
const FLOOD: usize = 280;
const LARGE: usize = 900_000;
/// Waiting for a model that nobody runs.
const WAITING: usize = 200;
/// Between the first requests of a hog: an answer's time over the slots of both lanes.
const APART: Duration = Duration::from_millis(SERVICE.as_millis() as u64 / (2 * SLOTS as u64));
/// How long one that was refused waits.
const HARDLY: Duration = Duration::from_secs(1);
/// Longer than is measured.
const ONCE: Duration = Duration::from_secs(600);

/// Who asks beside the light tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostile {
    /// Always has many requests under way, each as long as a light one's, in both lanes.
    Hog,
    /// Always has many long answers under way.
    LongHog,
    /// A hog whose large prompts failed before, and were not charged.
    Bank,
    /// Asks for many long answers with large bodies.
    Flood,
    /// Waits for a model that no worker runs, while a newcomer is a hog.
    Unserved,
    /// Takes nothing of its answers, behind closed windows of HTTP/2.
    ClosedWindows,
    /// Holds connections on which it says nothing.
    SilentSockets,
    /// Never finishes its large uploads.
    UnfinishedUploads,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hog,
        Self::LongHog,
        Self::Bank,
        Self::Flood,
        Self::Unserved,
        Self::ClosedWindows,
        Self::SilentSockets,
        Self::UnfinishedUploads,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hog => "a hog",
            Self::LongHog => "a hog of long answers",
            Self::Bank => "a bank of failed prompts",
            Self::Flood => "a flood of large bodies",
            Self::Unserved => "a model that nobody runs",
            Self::ClosedWindows => "closed windows",
            Self::SilentSockets => "silent sockets",
            Self::UnfinishedUploads => "unfinished uploads",
        }
    }

    /// Whether its answers take longer than a light tenant's; they take the long lane, and the light ones' the short one.
    pub fn is_long(self) -> bool {
        matches!(self, Self::LongHog | Self::Flood)
    }

    /// Makes the gateway's limits such that the attack reaches them.
    pub(super) fn configure(self, gateway: &Gateway) -> anyhow::Result<()> {
        match self {
            Self::ClosedWindows => gateway.reconfigure(
                "ingress: { ",
                // Nothing but the ends of its requests gives places back in time.
                "ingress: { timeouts: { unread: 10m }, limits: { max_in_flight: 400, max_in_flight_per_tenant: 120 }, ",
            ),
            Self::SilentSockets => {
                gateway.reconfigure("ingress: { ", "ingress: { limits: { max_connections: 256 }, ")
            }
            _ => Ok(()),
        }
    }

    /// Begins; when this returns, the light tenants are beside it.
    pub(super) async fn begin(self, gateway: &Gateway) -> anyhow::Result<Attack> {
        let mut attack = Attack {
            asker: Asker {
                http: client()?,
                url: format!("{}/v1/chat/completions", gateway.base_url),
            },
            hostile: self,
            refused: Arc::default(),
            running: JoinSet::new(),
        };
        match self {
            Self::Hog => attack.hog(TENANT).await,
            Self::LongHog => (0..HOG).for_each(|_| {
                attack.again_and_again(TENANT, &question("mock", SHORT + 1, "me first"), HARDLY);
            }),
            Self::Bank => attack.bank().await?,
            Self::Flood => attack.flood(gateway).await?,
            Self::Unserved => attack.unserved(gateway).await?,
            Self::ClosedWindows => sockets::closed_windows(&gateway.base_url, &mut attack.running),
            Self::SilentSockets => sockets::silent(gateway, &mut attack.running),
            Self::UnfinishedUploads => sockets::unfinished(&gateway.base_url, &mut attack.running),
        }
        // Until its requests have reached the queues.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(attack)
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An attack that goes on until it is ended or dropped.
pub(super) struct Attack {
    asker: Asker,
    hostile: Hostile,
    /// How often it was told something else than an answer.
    refused: Arc<AtomicU64>,
    running: JoinSet<()>,
}

impl Attack {
    /// Ends it. Places of answers that nobody takes must be free by then: the tenant itself is answered elsewhere.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        if self.hostile == Hostile::ClosedWindows {
            let body = Bytes::from(question("mock", 1, "hello").to_string());
            let deadline = Instant::now() + Duration::from_secs(120);
            let mut told = self.asker.send(TENANT, body.clone()).await?;
            while told.0 != 200 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(100)).await;
                told = self.asker.send(TENANT, body.clone()).await?;
            }
            ensure!(
                told.0 == 200,
                "answers that nobody takes still hold their places: {told:?}"
            );
        }
        ensure!(!self.running.is_empty(), "the attack has ended by itself");
        while let Some(ended) = self.running.try_join_next() {
            ended?;
        }
        self.running.shutdown().await;
        Ok(())
    }

    /// Asks and asks again, in both lanes. It begins so slowly that slots come free one after the other, as they do where answers
    /// differ in length: if all came free at once, every time, chance would decide about half an answer's wait.
    async fn hog(&mut self, tenant: &'static str) {
        for number in 0..HOG {
            let max_tokens = [1, SHORT + 1][number % 2];
            self.again_and_again(tenant, &question("mock", max_tokens, "me first"), HARDLY);
            tokio::time::sleep(APART).await;
        }
    }

    /// Large prompts that fail, and then a hog.
    async fn bank(&mut self) -> anyhow::Result<()> {
        let prompt = format!("status-400 {}", "x".repeat(200_000));
        let body = Bytes::from(question("mock", SHORT + 1, &prompt).to_string());
        let failing = (0..BANK).map(|_| self.asker.send(TENANT, body.clone()));
        for told in futures::future::join_all(failing).await {
            let (status, told) = told?;
            ensure!(
                (400..500).contains(&status),
                "a prompt that fails was told {status}: {told}"
            );
        }
        self.hog(TENANT).await;
        Ok(())
    }

    async fn flood(&mut self, gateway: &Gateway) -> anyhow::Result<()> {
        let prompt = format!("me first {}", "x".repeat(LARGE));
        let body = question("mock", SHORT + 1, &prompt);
        for _ in 0..FLOOD {
            self.again_and_again(TENANT, &body, ONCE);
        }
        // How fast they come in is a matter of the machine; what they hold then is not.
        let refused = Arc::clone(&self.refused);
        until_waiting(gateway, FLOOD as u64 - 20, || refused.load(Ordering::Relaxed)).await
    }

    async fn unserved(&mut self, gateway: &Gateway) -> anyhow::Result<()> {
        for _ in 0..WAITING {
            self.again_and_again(TENANT, &question(UNSERVED, 1, "me first"), HARDLY);
        }
        until_waiting(gateway, WAITING as u64 * 3 / 4, || 0).await?;
        self.hog("newcomer").await;
        Ok(())
    }

    /// Asks without end; whoever is refused is told to wait, and waits for `pause`.
    fn again_and_again(&mut self, tenant: &'static str, body: &Value, pause: Duration) {
        let (asker, body) = (self.asker.clone(), Bytes::from(body.to_string()));
        let refused = Arc::clone(&self.refused);
        self.running.spawn(async move {
            loop {
                if asker.send(tenant, body.clone()).await.map_or(0, |told| told.0) != 200 {
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            }
        });
    }
}

/// Waits until so many requests wait in the scheduler's queues or are out of them, for which `beside` stands.
async fn until_waiting(gateway: &Gateway, count: u64, beside: impl Fn() -> u64) -> anyhow::Result<()> {
    let url = format!("{}/metrics", gateway.ops_url);
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let metrics = crate::http::get(&url).await?.text().await?;
        let waiting = sum(&metrics, "relay_scheduler_waiting_requests{") + beside();
        if waiting >= count {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "only {waiting} of {count} requests wait or were refused"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A body that no cache knows an answer to.
fn question(model: &str, max_tokens: u64, prompt: &str) -> Value {
    json!({"model": model, "temperature": 1, "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": prompt}]})
}

/// One client of the hostile tenant's.
#[derive(Clone)]
struct Asker {
    http: reqwest::Client,
    url: String,
}

impl Asker {
    /// Its status, and what it said.
    async fn send(&self, tenant: &str, body: Bytes) -> anyhow::Result<(u16, String)> {
        let request = self.http.post(&self.url).header("x-tenant-id", tenant);
        let request = request.header("content-type", "application/json").body(body);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}
