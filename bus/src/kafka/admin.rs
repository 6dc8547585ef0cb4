//! `relay topics apply` on Kafka: topics are created and changed, never deleted.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::context::Quiet;
use super::difference::{self, Partitions};
use super::error;
use super::meta::{LOOK_AGAIN, Meta};
use crate::BusError;
use crate::topics::Topic;

/// Makes topics what they should be.
pub(super) struct Admin<'a> {
    pub(super) client: &'a AdminClient<Quiet>,
    pub(super) meta: &'a Arc<Meta>,
    pub(super) replication: i32,
}

impl Admin<'_> {
    /// Makes `topic` so and says what was done; `found` is its number of partitions, if it exists.
    pub(super) async fn apply(&self, topic: &Topic, found: Option<i32>) -> Result<String, BusError> {
        let Some(found) = found else {
            self.create(topic).await?;
            return Ok(format!(
                "{}: created, {} partitions",
                topic.name, topic.partitions
            ));
        };
        let mut done = Vec::new();
        match difference::partitions(topic, found) {
            Partitions::Right => {}
            Partitions::Keep(why) => {
                done.push(format!(
                    "keeps its {found} partitions instead of {}, {why}",
                    topic.partitions
                ));
            }
            Partitions::More(number) => {
                self.add_partitions(topic, number).await?;
                done.push(format!("partitions {found} → {number}"));
            }
        }
        done.extend(self.alter(topic).await?);
        if done.is_empty() {
            done.push("unchanged".to_owned());
        }
        Ok(format!("{}: {}", topic.name, done.join(", ")))
    }

    async fn create(&self, topic: &Topic) -> Result<(), BusError> {
        let settings = difference::settings(topic, self.replication);
        let replication = TopicReplication::Fixed(self.replication);
        let mut new = NewTopic::new(&topic.name, topic.partitions, replication);
        for (name, value) in &settings {
            new = new.set(name, value);
        }
        let created = self.client.create_topics([&new], &self.options()).await;
        done(created.map(Vec::into_iter), &topic.name, Code::TopicAlreadyExists)?;
        self.wait_for(topic).await
    }

    async fn add_partitions(&self, topic: &Topic, number: usize) -> Result<(), BusError> {
        let more = NewPartitions::new(&topic.name, number);
        let added = self.client.create_partitions([&more], &self.options()).await;
        done(added.map(Vec::into_iter), &topic.name, Code::NoError)?;
        self.wait_for(topic).await
    }

    /// Brokers hear of new partitions a moment later; whoever comes after us shall find them.
    async fn wait_for(&self, topic: &Topic) -> Result<(), BusError> {
        let (name, partitions) = (topic.name.clone(), topic.partitions);
        self.meta.ask(move |meta| meta.wait_for(&name, partitions)).await
    }

    /// Returns what was changed.
    async fn alter(&self, topic: &Topic) -> Result<Vec<String>, BusError> {
        let found = self.describe(topic).await?;
        let value = |name: &str| found.get(name).and_then(|entry| entry.value.clone());
        let changed = difference::changed(&difference::settings(topic, self.replication), value);
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        // The request sets all of a topic's own settings: those that others made must be in it too.
        let own = found
            .entries
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let own = own.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)));
        let mut entries: HashMap<&str, &str> = own.collect();
        entries.extend(changed.iter().map(|(name, value)| (*name, value.as_str())));
        let alter = AlterConfig {
            specifier: ResourceSpecifier::Topic(&topic.name),
            entries,
        };
        let altered = self.client.alter_configs([&alter], &self.options()).await;
        let altered = altered.map(|results| {
            let bare = |result: Result<_, (_, Code)>| {
                result
                    .map(|_| String::new())
                    .map_err(|(_, code)| (String::new(), code))
            };
            results.into_iter().map(bare)
        });
        done(altered, &topic.name, Code::NoError)?;
        self.until_told(topic).await?;
        let said = changed.into_iter().map(|(name, now)| {
            let was = value(name).unwrap_or_else(|| "none".to_owned());
            format!("{name} {was} → {now}")
        });
        Ok(said.collect())
    }

    /// Brokers hear of changed settings a moment later; whoever applies the same again shall find nothing to change. They are
    /// changed, whether or not it is told in time.
    async fn until_told(&self, topic: &Topic) -> Result<(), BusError> {
        let settings = difference::settings(topic, self.replication);
        let told = async {
            loop {
                let found = self.describe(topic).await?;
                let value = |name: &str| found.get(name).and_then(|entry| entry.value.clone());
                if difference::changed(&settings, value).is_empty() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(self.meta.timeout(), told)
            .await
            .unwrap_or(Ok(()))
    }

    async fn describe(&self, topic: &Topic) -> Result<ConfigResource, BusError> {
        let which = [ResourceSpecifier::Topic(&topic.name)];
        let described = self.client.describe_configs(&which, &self.options()).await;
        let described = described.map_err(|error| error::of(&error, &topic.name))?;
        let described = described.into_iter().next();
        let described =
            described.ok_or_else(|| BusError::Unavailable("no answer about a topic".to_owned()))?;
        described.map_err(|code| error::of_bare(code, &topic.name))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.meta.timeout()))
            .operation_timeout(Some(self.meta.timeout()))
    }
}

/// The results of one request, each of which may also be `fine`.
fn done(
    results: Result<impl Iterator<Item = Result<String, (String, Code)>>, KafkaError>,
    topic: &str,
    fine: Code,
) -> Result<(), BusError> {
    for result in results.map_err(|error| error::of(&error, topic))? {
        match result {
            Ok(_) => {}
            Err((_, code)) if code == fine => {}
            Err((_, Code::InvalidReplicationFactor)) => {
                return Err(BusError::Fatal(format!(
                    "{topic}: there are fewer brokers than `replication`"
                )));
            }
            Err((_, code)) => return Err(error::of_bare(code, topic)),
        }
    }
    Ok(())
}
