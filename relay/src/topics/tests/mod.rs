//! What is asked, answered over a real embedded log: in this process, and by the operators' listener of another one.

mod closing;
pub mod dead_letters;
mod listener;
mod records;

use std::sync::Arc;

use relay_bus::topics::Manifest;
use relay_bus::{EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Record};
use relay_clock::Clock;
use relay_runner::Stretch;
use serde_json::Value;

use super::answer::Keeper;
use super::ask::Ask;
use super::letters::Who;
use super::lines::{Answer, Line};

/// A log with two topics of its own and those of the house.
pub struct House {
    pub keeper: Arc<Keeper>,
    pub folder: tempfile::TempDir,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let yaml = "pools: [default]\ntopics:\n- { name: t, partitions: 3 }\n- { name: relay.outcomes.v1, partitions: 2 }\n\
                    - { name: relay.requests.v1, partitions: 1 }\n- { name: relay.batch.requests.v1, partitions: 1 }\n\
                    - { name: relay.dead-letters.v1, partitions: 1, max_record: 2MiB }\n- { name: relay.schemas.v1, partitions: 1, compacted: true }\n";
        let manifest = Manifest::parse(yaml).expect("a manifest");
        let clock = Clock::system();
        let log = folder.path().join(crate::seams::LOG);
        let bus = EmbeddedBus::open(log, &manifest, EmbeddedOptions::default(), &clock).expect("a log");
        let keeper = Arc::new(Keeper::new(Arc::new(bus), manifest, clock));
        Self { keeper, folder }
    }

    pub async fn publish(&self, records: Vec<Outgoing>) -> Vec<relay_bus::Position> {
        self.keeper
            .bus
            .publish(records, Vec::new())
            .await
            .expect("published")
    }

    /// Everything that a partition holds.
    pub async fn held(&self, topic: &str, partition: i32) -> Vec<Record> {
        let mut records = Stretch::whole(&*self.keeper.bus, Partition::new(topic, partition))
            .await
            .expect("a partition");
        let mut all = Vec::new();
        while let Some(record) = records.next().await.expect("it can be read") {
            all.push(record);
        }
        all
    }

    pub async fn ask(&self, ask: Ask) -> Result<Vec<Value>, String> {
        all(self.keeper.ask(ask, me())).await
    }
}

pub fn me() -> Who {
    Who {
        name: "me".to_owned(),
        via: "a test",
    }
}

pub fn record(topic: &str, partition: i32, key: &[u8], value: &str) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        partition: Some(partition),
        key: Some(key.to_vec().into()),
        headers: Headers::default(),
        value: Some(value.to_owned().into()),
    }
}

/// The items of an answer that comes to its end.
pub async fn all(mut answer: Answer) -> Result<Vec<Value>, String> {
    let mut items = Vec::new();
    loop {
        match answer.recv().await.expect("an answer has an end") {
            Line::Item(item) => items.push(item),
            Line::End(end) => return end.map(|()| items),
        }
    }
}
