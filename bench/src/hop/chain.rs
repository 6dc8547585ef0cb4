//! The stages: each reads a topic, publishes to the next with its commit in the same call, one publish out at a time.
//! What arrives meanwhile goes into the next one.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use relay_bus::{Bus, Commit, Consumer, ConsumerEvent, Outgoing, Partition, Record, StartAt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::column::{PARTITIONS, Ready};

/// Bytes of a record that only says where the value lies: about what an envelope holds without its body.
const REFERENCE_BYTES: usize = 512;

/// The five stages at work.
pub struct Chain {
    stages: JoinSet<Result<()>>,
    /// When each record was due to be sent, nanoseconds since the start of the run, as it comes out.
    pub out: mpsc::UnboundedReceiver<u64>,
}

struct Stage {
    bus: Arc<dyn Bus>,
    group: String,
    next_topic: Option<String>,
    by_reference: bool,
    out: mpsc::UnboundedSender<u64>,
}

impl Chain {
    /// Starts the stages and waits until each owns its partitions.
    pub async fn start(ready: &Ready, by_reference: bool) -> Result<Self> {
        let (sender, out) = mpsc::unbounded_channel();
        let mut stages = JoinSet::new();
        let mut joining = JoinSet::new();
        for (hop, topic) in ready.topics.iter().enumerate() {
            let stage = Stage {
                bus: Arc::clone(&ready.bus),
                group: format!("group.{topic}"),
                next_topic: ready.topics.get(hop + 1).cloned(),
                by_reference: by_reference && hop == 0,
                out: sender.clone(),
            };
            let last_reads = by_reference && hop + 1 == ready.topics.len();
            joining.spawn(join(stage, topic.clone(), last_reads));
        }
        while let Some(joined) = joining.join_next().await {
            let (stage, consumer, last_reads) = joined??;
            stages.spawn(stage.run(consumer, last_reads));
        }
        Ok(Self { stages, out })
    }

    /// Ends the stages; tells of one that had failed.
    pub async fn stop(mut self) -> Result<()> {
        let failed = self.stages.try_join_next();
        self.stages.shutdown().await;
        failed.map_or(Ok(()), |stage| stage?.context("a stage ended early"))
    }
}

async fn join(stage: Stage, topic: String, last_reads: bool) -> Result<(Stage, Box<dyn Consumer>, bool)> {
    let mut consumer = stage.bus.subscribe(&stage.group, &[topic]).await?;
    let mut owned = 0;
    while owned < PARTITIONS as usize {
        if let ConsumerEvent::Assigned(partitions) = consumer.next().await? {
            owned += partitions.len();
        }
    }
    Ok((stage, consumer, last_reads))
}

impl Stage {
    async fn run(self, mut consumer: Box<dyn Consumer>, last_reads: bool) -> Result<()> {
        loop {
            let ConsumerEvent::Records(records) = consumer.next().await? else {
                continue;
            };
            let commits = commits(&self.group, &records);
            if let Some(topic) = &self.next_topic {
                let outgoing = records
                    .into_iter()
                    .map(|record| self.forward(topic, record))
                    .collect();
                self.bus.publish(outgoing, commits).await?;
                continue;
            }
            for record in &records {
                if last_reads {
                    self.fetch_value(record).await?;
                }
                self.out.send(due(record)?).context("nobody measures any more")?;
            }
            consumer.commit(commits).await?;
        }
    }

    fn forward(&self, topic: &str, record: Record) -> Outgoing {
        let value = if self.by_reference {
            Some(reference(&record).into())
        } else {
            record.value
        };
        Outgoing {
            topic: topic.into(),
            partition: None,
            key: record.key,
            headers: record.headers,
            value,
        }
    }

    /// Reads the value that a reference names.
    async fn fetch_value(&self, record: &Record) -> Result<()> {
        let mut value = value_of(record);
        value.advance(8);
        let (partition, offset) = (value.try_get_i32()?, value.try_get_i64()?);
        let length = value.try_get_u32()? as usize;
        let topic = String::from_utf8(value.split_to(length).to_vec())?;
        let from = vec![(Partition::new(topic, partition), StartAt::Offset(offset))];
        let records = self.bus.read(from).await?.next().await?;
        ensure!(
            records
                .first()
                .is_some_and(|found| found.position.offset == offset),
            "the value is not where it was"
        );
        Ok(())
    }
}

fn commits(group: &str, records: &[Record]) -> Vec<Commit> {
    let mut last: HashMap<&Partition, i64> = HashMap::new();
    for record in records {
        last.insert(&record.position.partition, record.position.offset + 1);
    }
    last.into_iter()
        .map(|(partition, next)| Commit {
            group: group.to_owned(),
            partition: partition.clone(),
            next,
        })
        .collect()
}

/// The first eight bytes of a value say when it was due.
fn due(record: &Record) -> Result<u64> {
    Ok(value_of(record).try_get_u64()?)
}

fn value_of(record: &Record) -> Bytes {
    let value = record.value.as_ref();
    value.map(|value| value.bytes().clone()).unwrap_or_default()
}

fn reference(record: &Record) -> Bytes {
    let value = value_of(record);
    let topic = record.position.partition.topic.as_bytes();
    let mut reference = BytesMut::with_capacity(REFERENCE_BYTES);
    reference.put_slice(&value[..8]);
    reference.put_i32(record.position.partition.partition);
    reference.put_i64(record.position.offset);
    reference.put_u32(topic.len() as u32);
    reference.put_slice(topic);
    reference.resize(REFERENCE_BYTES.max(reference.len()), 0);
    reference.freeze()
}
