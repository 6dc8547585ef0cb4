//! Answers what is asked about the log: for a command, and for the operators' listener beside which a command runs.

use std::sync::Arc;

use relay_bus::topics::Manifest;
use relay_bus::{Bus, BusError, Partition};
use relay_clock::Clock;
use relay_schemas::Registry;
use serde_json::json;
use tokio::sync::Mutex;

use super::ask::{Ask, Letters, Selection};
use super::letters::{Scan, Wanted, Who, close};
use super::lines::{Answer, Lines, lines};
use super::reading::{Reading, learn};

/// A log that is open in this process, or connected to.
pub struct Keeper {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The topics that there should be.
    pub manifest: Manifest,
    /// Time.
    pub clock: Clock,
    /// Held by whoever closes letters: two at once would both find a letter open, and put its record back twice.
    closing: Mutex<()>,
}

impl Keeper {
    /// Of the log behind `bus`.
    pub fn new(bus: Arc<dyn Bus>, manifest: Manifest, clock: Clock) -> Self {
        Self {
            bus,
            manifest,
            clock,
            closing: Mutex::default(),
        }
    }

    /// Begins to answer. What only reads ends once its answer is dropped; what changes something ends after the letter that it is at.
    pub fn ask(self: &Arc<Self>, ask: Ask, who: Who) -> Answer {
        let (lines, answer) = lines();
        let keeper = Arc::clone(self);
        tokio::spawn(async move {
            let done = if ask.changes() {
                keeper.answer(ask, &who, &lines).await
            } else {
                tokio::select! {
                    biased;
                    () = lines.gone() => return,
                    done = keeper.answer(ask, &who, &lines) => done,
                }
            };
            lines.end(done.map_err(|error| format!("{error:#}"))).await;
        });
        answer
    }

    async fn answer(&self, ask: Ask, who: &Who, lines: &Lines) -> anyhow::Result<()> {
        match ask {
            Ask::Offsets => self.offsets(lines).await,
            Ask::Apply(manifest) => {
                for did in self.bus.apply(&manifest).await? {
                    if did.contains(": created") || did.contains(" → ") {
                        tracing::info!(target: "audit", action = "topic applied", by = who.name, via = who.via, did, "an operator changed a topic");
                    }
                    lines.say(json!({ "did": did })).await?;
                }
                Ok(())
            }
            Ask::Read(topic, read) => {
                let reading = Reading {
                    bus: &self.bus,
                    clock: &self.clock,
                    topic: &topic,
                    read: &read,
                };
                reading.say(lines).await
            }
            Ask::Letters(letters) => self.letters(letters, lines).await,
            Ask::Resend(selection) => self.close(selection, (true, who), lines).await,
            Ask::Discard(selection) => self.close(selection, (false, who), lines).await,
        }
    }

    async fn offsets(&self, lines: &Lines) -> anyhow::Result<()> {
        for topic in self.manifest.expanded() {
            let count = match self.bus.partitions(&topic.name).await {
                Err(BusError::UnknownTopic(topic)) => {
                    lines.say(json!({ "topic": topic, "missing": true })).await?;
                    continue;
                }
                count => count?,
            };
            for partition in 0..count {
                let range = self.bus.range(&Partition::new(&topic.name, partition)).await?;
                let line = json!({
                    "topic": topic.name,
                    "partition": partition,
                    "low": range.low,
                    "high": range.high,
                });
                lines.say(line).await?;
            }
        }
        Ok(())
    }

    async fn letters(&self, asked: Letters, lines: &Lines) -> anyhow::Result<()> {
        let registry = self.registry().await?;
        let (whole, content) = (asked.whole, asked.content);
        let mut wanted = if whole {
            Some(Wanted::of(&*self.bus, &registry, asked.clone(), self.clock.now()).await?)
        } else {
            None
        };
        let mut letters = Scan::open(&*self.bus, &registry, asked).await?;
        while let Some(letter) = letters.next().await? {
            let Some(wanted) = &mut wanted else {
                lines.say(letter.line()).await?;
                continue;
            };
            let mut line = letter.whole(&registry, content);
            if let (Ok(body), None) = (&letter.body, &letter.closed) {
                let record = wanted.record(body, self.clock.now()).await?;
                line["resend"] = record.map_or_else(
                    |why| json!({"would": "keep it", "why": why}),
                    |_| json!({"would": "put it back"}),
                );
            }
            lines.say(line).await?;
        }
        Ok(())
    }

    async fn close(&self, selection: Selection, how: (bool, &Who), lines: &Lines) -> anyhow::Result<()> {
        let _one_at_a_time = tokio::select! {
            biased;
            () = lines.gone() => return Ok(()),
            turn = self.closing.lock() => turn,
        };
        let registry = self.registry().await?;
        close((&*self.bus, &self.clock), &registry, selection, how, lines).await
    }

    async fn registry(&self) -> Result<Registry, BusError> {
        let registry = Registry::default();
        learn(&*self.bus, &registry).await?;
        Ok(registry)
    }
}
