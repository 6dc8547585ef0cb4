//! Records of a topic: those that it holds, or the newest of them, and then what comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use relay_bus::{Bus, BusError, Partition, Record};
use relay_clock::Clock;
use relay_runner::{Backoff, Follow, Runtime, Stretch, Tail, decode_known, ends, refresh_schemas};
use relay_schemas::{Registry, TimestampMs};
use serde_json::Value;

use super::ask::{MOST_NEWEST, Read};
use super::lines::Lines;
use super::shown;

/// Most bytes of lines that are held to put the newest of several partitions in order.
const MOST_HELD: usize = 64 * 1024 * 1024;
/// Reads of a follower that wait to be shown.
const BATCHES: usize = 4;

/// Reads one topic.
pub struct Reading<'a> {
    pub bus: &'a Arc<dyn Bus>,
    pub clock: &'a Clock,
    pub topic: &'a str,
    pub read: &'a Read,
}

impl Reading<'_> {
    /// Says a line for each record.
    pub async fn say(&self, lines: &Lines) -> anyhow::Result<()> {
        let registry = Registry::default();
        let ends = ends(&**self.bus, self.topic).await?;
        learn(&**self.bus, &registry).await?;
        match self.read.newest {
            Some(newest) => {
                for line in self.newest(newest, &ends, &registry).await? {
                    lines.say(line).await?;
                }
            }
            None => {
                for (partition, end) in &ends {
                    let low = self.bus.range(partition).await?.low;
                    let mut records = Stretch::between(&**self.bus, partition.clone(), low, *end).await?;
                    while let Some(record) = records.next().await? {
                        lines.say(self.line(&record, &registry).await?).await?;
                    }
                }
            }
        }
        if self.read.follow {
            self.follow(ends, &registry, lines).await?;
        }
        Ok(())
    }

    /// The newest records, in the order in which the log took them.
    async fn newest(
        &self,
        most: usize,
        ends: &[(Partition, i64)],
        registry: &Registry,
    ) -> anyhow::Result<Vec<Value>> {
        ensure!(
            (1..=MOST_NEWEST).contains(&most),
            "{most} records: 1 to {MOST_NEWEST} can be asked for; `relay topics read` has all of them"
        );
        let mut newest: BTreeMap<(TimestampMs, i32, i64), (usize, Value)> = BTreeMap::new();
        let mut held = 0;
        for (partition, end) in ends {
            let mut records = self.last(partition, *end, most).await?;
            while let Some(record) = records.next().await? {
                let line = self.line(&record, registry).await?;
                let size = line.to_string().len();
                held += size;
                let at = (record.timestamp, partition.partition, record.position.offset);
                newest.insert(at, (size, line));
                while newest.len() > most {
                    held -= newest.pop_first().map_or(0, |(_, (size, _))| size);
                }
                ensure!(
                    held <= MOST_HELD,
                    "the newest {most} records are more than {} MiB: ask for fewer, or without content",
                    MOST_HELD >> 20
                );
            }
        }
        Ok(newest.into_values().map(|(_, line)| line).collect())
    }

    /// At least the last `most` records of a partition, or all. Offsets have gaps where the log was compacted.
    async fn last(&self, partition: &Partition, end: i64, most: usize) -> Result<Stretch<'_>, BusError> {
        let low = self.bus.range(partition).await?.low;
        let mut back = most as i64;
        loop {
            let from = end.saturating_sub(back).max(low);
            let open = || Stretch::between(&**self.bus, partition.clone(), from, end);
            let mut found = 0;
            let mut records = open().await?;
            while found < most && from > low && records.next().await?.is_some() {
                found += 1;
            }
            if found == most || from == low {
                return open().await;
            }
            back = back.saturating_mul(4);
        }
    }

    async fn follow(
        &self,
        from: Vec<(Partition, i64)>,
        registry: &Registry,
        lines: &Lines,
    ) -> anyhow::Result<()> {
        // A part of its own: that a reader stands still is no reason to end the process that it reads beside.
        let runtime = Runtime {
            clock: self.clock.clone(),
            ..Runtime::new(Arc::clone(self.bus))
        };
        let backoff = Backoff::new(
            Duration::from_millis(100),
            Duration::from_secs(2),
            &runtime.chance,
        );
        let was_away = AtomicBool::new(false);
        let report = move |found: Result<(), &str>| {
            let is_away = found.is_err();
            if was_away.swap(is_away, Ordering::Relaxed) != is_away {
                if let Err(error) = found {
                    tracing::warn!(error, "the log cannot be read on; it is tried again");
                } else {
                    tracing::info!("the log is read on");
                }
            }
        };
        let mut tail = Tail::open(&runtime, Follow::topics(from), BATCHES, backoff, Box::new(report));
        loop {
            for record in tail.next().await? {
                lines.say(self.line(&record, registry).await?).await?;
            }
        }
    }

    async fn line(&self, record: &Record, registry: &Registry) -> Result<Value, BusError> {
        let body = || shown::body(self.topic, record.value.as_deref(), registry);
        let body = decode_known(body, || learn(&**self.bus, registry)).await?;
        Ok(shown::line(record, body, self.read.content))
    }
}

/// Learns the schemas that other versions wrote in. A log that has no topic of schemas yet holds none.
pub async fn learn(bus: &dyn Bus, registry: &Registry) -> Result<(), BusError> {
    match refresh_schemas(bus, registry).await {
        Err(BusError::UnknownTopic(_)) => Ok(()),
        learned => learned,
    }
}
