//! Apache Kafka behind the [`Bus`] trait, through librdkafka.
//!
//! One idempotent producer a process, one consumer a membership. Waiting calls run on threads of their own; everything
//! else is woken by librdkafka's queues, nothing polls. Brokers that are away are librdkafka's to find again; a client that does
//! not is replaced, whichever it is.

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
mod metrics;
mod options;
mod position;
mod producer;
mod reader;
mod refusal;
mod renewed;
mod rouse;
mod standstill;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use options::KafkaOptions;
use prometheus::Registry;
use rdkafka::admin::AdminClient;
use relay_clock::Clock;

use self::admin::Admin;
use self::consumer::{KafkaConsumer, Seat};
use self::context::Quiet;
use self::groups::Groups;
use self::limits::Limits;
use self::meta::Meta;
use self::metrics::Metrics;
use self::producer::Producer;
use self::reader::KafkaReader;
use self::renewed::Renewed;
use self::standstill::Watch;
use crate::topics::Manifest;
use crate::{Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, StartAt};

/// The log on Kafka.
pub struct KafkaBus {
    options: KafkaOptions,
    producer: Producer,
    admin: Renewed<AdminClient<Quiet>>,
    meta: Arc<Meta>,
    watch: Watch,
    groups: Arc<Groups>,
    limits: Limits,
}

impl KafkaBus {
    /// Creates the clients; brokers that cannot be reached yet are no error.
    ///
    /// # Errors
    /// [`BusError::Fatal`] where librdkafka refuses a property.
    pub fn connect(options: KafkaOptions, clock: &Clock) -> Result<Self, BusError> {
        let metrics = Metrics::new();
        let config = config::admin(&options);
        let admin = move || {
            let client = config.create_with_context(Quiet::default());
            client.map_err(|error| error::of(&error, ""))
        };
        let seam = (clock.clone(), metrics.clone());
        let meta = Arc::new(Meta::new(&options, clock.clone(), metrics.clone())?);
        Ok(Self {
            producer: Producer::new(options.clone(), clock.clone(), metrics.clone())?,
            admin: Renewed::new("admin", options.replace_after, seam, admin)?,
            watch: Watch {
                meta: Arc::clone(&meta),
                metrics,
                clock: clock.clone(),
                patience: options.replace_after,
            },
            meta,
            groups: Arc::default(),
            limits: Limits::new(),
            options,
        })
    }

    async fn append(&self, records: &[Outgoing]) -> Result<Vec<Position>, BusError> {
        self.check_sizes(records).await?;
        let mut ends = self.producer.publish(records).await;
        let is_refused = |end: &Result<_, _>| matches!(end, Err(BusError::TooLarge { .. }));
        let is_unknown = |end: &Result<_, _>| matches!(end, Err(BusError::UnknownTopic(_)));
        let any_refused = ends.iter().any(is_refused);
        if any_refused || ends.iter().any(is_unknown) {
            self.limits.forget();
        }
        if any_refused {
            // A topic may have been given a smaller limit since, and a broker measures whole batches against it: what fits by
            // itself must not suffer for that.
            self.check_sizes(records).await?;
            for (end, record) in ends.iter_mut().zip(records) {
                if is_refused(end) {
                    *end = self.producer.publish_alone(record).await;
                }
            }
        }
        ends.into_iter().collect()
    }

    /// Refuses what its topic does not take, and lets no batch be larger than any of the topics takes.
    async fn check_sizes(&self, records: &[Outgoing]) -> Result<(), BusError> {
        self.limits.check(records, &self.admin, &self.meta).await?;
        self.producer.fit(self.limits.smallest());
        Ok(())
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        let positions = self.append(&records).await?;
        self.groups.commit(commits, &self.options).await?;
        Ok(positions)
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        for topic in topics {
            self.partitions(topic).await?;
        }
        let seat = Seat {
            options: self.options.clone(),
            groups: Arc::clone(&self.groups),
            group: group.to_owned(),
            topics: topics.to_vec(),
            watch: self.watch.clone(),
        };
        Ok(Box::new(KafkaConsumer::join(seat)?))
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
        Ok(Box::new(KafkaReader::open(
            &self.options,
            from,
            self.watch.clone(),
        )?))
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
            client: &self.admin.get(),
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

    fn looks_every(&self) -> Duration {
        self.options.topic_refresh
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.meta.ask(Meta::probe).await
    }

    fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.watch.metrics.register(registry)
    }
}
