//! Apache Kafka behind the [`Bus`] trait, through librdkafka.
//!
//! One idempotent producer a process, one consumer a membership. Waiting calls run on threads of their own; everything
//! else is woken by librdkafka's queues, nothing polls. Brokers that are away are librdkafka's to find again.

mod admin;
mod blocking;
mod config;
mod consumer;
mod context;
mod convert;
mod difference;
mod error;
mod groups;
mod limits;
mod meta;
mod options;
mod producer;
mod reader;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
pub use options::KafkaOptions;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::Consumer as _;
use relay_clock::Clock;

use self::admin::Admin;
use self::consumer::KafkaConsumer;
use self::context::{Membership, Quiet};
use self::groups::{Groups, Member};
use self::limits::Limits;
use self::meta::Meta;
use self::producer::Producer;
use self::reader::KafkaReader;
use crate::topics::Manifest;
use crate::{Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, StartAt};

/// The log on Kafka.
pub struct KafkaBus {
    options: KafkaOptions,
    producer: Producer,
    admin: AdminClient<Quiet>,
    meta: Arc<Meta>,
    groups: Groups,
    limits: Limits,
}

impl KafkaBus {
    /// Creates the clients; brokers that cannot be reached yet are no error.
    ///
    /// # Errors
    /// [`BusError::Fatal`] where librdkafka refuses a property.
    pub fn connect(options: KafkaOptions, clock: &Clock) -> Result<Self, BusError> {
        let admin = config::admin(&options).create_with_context(Quiet);
        Ok(Self {
            producer: Producer::new(options.clone(), clock.clone())?,
            admin: admin.map_err(|error| error::of(&error, ""))?,
            meta: Arc::new(Meta::new(&options, clock.clone())?),
            groups: Groups::default(),
            limits: Limits::default(),
            options,
        })
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        self.limits.check(&records, &self.admin, &self.meta).await?;
        let published = self.producer.publish(&records).await;
        if matches!(
            published,
            Err(BusError::TooLarge { .. } | BusError::UnknownTopic(_))
        ) {
            self.limits.forget();
        }
        let positions = published?;
        self.groups.commit(commits, &self.options).await?;
        Ok(positions)
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        for topic in topics {
            self.partitions(topic).await?;
        }
        let config = config::member(&self.options, group);
        let member: Result<Member, _> = config.create_with_context(Membership::default());
        let member = member.map_err(|error| error::of(&error, ""))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        member.subscribe(&names).map_err(|error| error::of(&error, ""))?;
        let member = Arc::new(member);
        self.groups.join(group, &member);
        Ok(Box::new(KafkaConsumer::new(member)))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        let find = move |meta: &Meta| -> Result<HashMap<Partition, i64>, BusError> {
            let start = |(partition, at): (Partition, StartAt)| {
                let offset = meta.start(&partition, at)?;
                Ok((partition, offset))
            };
            from.into_iter().map(start).collect()
        };
        let from = self.meta.ask(find).await?;
        Ok(Box::new(KafkaReader::open(&self.options, from)?))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        let topic = topic.to_owned();
        self.meta.ask(move |meta| meta.partitions(&topic)).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        let partition = partition.clone();
        self.meta.ask(move |meta| meta.range(&partition)).await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.groups.flush(group, partition).await?;
        let (group, partition) = (group.to_owned(), partition.clone());
        self.meta
            .ask(move |meta| meta.committed(&group, &partition))
            .await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        let admin = Admin {
            client: &self.admin,
            meta: &self.meta,
            replication: manifest.replication,
        };
        let mut lines = Vec::new();
        for topic in manifest.expanded() {
            let found = match self.partitions(&topic.name).await {
                Ok(found) => Some(found),
                Err(BusError::UnknownTopic(_)) => None,
                Err(error) => return Err(error),
            };
            lines.push(admin.apply(&topic, found).await?);
        }
        self.limits.forget();
        Ok(lines)
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.meta.ask(Meta::probe).await
    }
}
