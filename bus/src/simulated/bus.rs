//! The log as one process meets it.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::Registry;

use super::commits;
use super::consumer::ProcessConsumer;
use super::lanes::{self, Lanes};
use super::process::Process;
use super::reader::ProcessReader;
use crate::topics::Manifest;
use crate::{
    Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, Room, StartAt,
};

/// [`Bus`] for one process.
pub struct ProcessBus {
    process: Arc<Process>,
    lanes: Lanes,
}

impl ProcessBus {
    pub(super) fn new(process: Arc<Process>) -> Self {
        Self {
            process,
            lanes: Lanes::default(),
        }
    }
}

#[async_trait]
impl Bus for ProcessBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        let process = &self.process;
        if !process.is_far() {
            return process.publish(records, commits).await;
        }
        process.act().await;
        let positions = if records.is_empty() {
            Vec::new()
        } else {
            lanes::publish(process, &self.lanes, records).await?
        };
        commits::behind(process, commits).await;
        Ok(positions)
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        let risen = self.process.reach().await?;
        let consumer = ProcessConsumer::join(&self.process, group, topics, &risen).await?;
        Ok(Box::new(consumer))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        let risen = self.process.reach().await?;
        Ok(Box::new(ProcessReader::open(&self.process, from, &risen).await?))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.process
            .ask(async |risen| risen.bus.partitions(topic).await)
            .await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        self.process
            .ask(async |risen| risen.bus.range(partition).await)
            .await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        commits::arrive(&self.process).await?;
        self.process
            .ask(async |risen| risen.bus.committed(group, partition).await)
            .await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        self.process
            .ask(async |risen| risen.bus.apply(manifest).await)
            .await
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.process.ask(async |risen| risen.bus.probe().await).await
    }

    fn room(&self) -> Room {
        let world = &self.process.world;
        match world.risen() {
            _ if self.process.is_far() => Room::Enough,
            _ if world.faults().short => Room::Reserved { free: 0, reserve: 1 },
            Some(risen) => risen.bus.room(),
            None => Room::Enough,
        }
    }

    fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        match self.process.world.risen() {
            Some(risen) if !self.process.is_far() => risen.bus.register(registry),
            _ => Ok(()),
        }
    }
}
