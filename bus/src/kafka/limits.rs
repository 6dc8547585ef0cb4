//! How large a record each topic takes, asked once per topic: a record that is too large is refused before anything is sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

use super::context::Quiet;
use super::convert::{self, OVERHEAD};
use super::error;
use super::meta::Meta;
use super::renewed::Renewed;
use crate::{BusError, Outgoing};

/// Limits by topic. Bounded by the topics there are: unknown ones are not remembered.
pub(super) struct Limits {
    known: RwLock<HashMap<String, usize>>,
    smallest: AtomicUsize,
}

impl Limits {
    /// None is known.
    pub(super) fn new() -> Self {
        Self {
            known: RwLock::default(),
            smallest: AtomicUsize::new(usize::MAX),
        }
    }

    /// The smallest limit that was ever asked: no batch may be larger.
    pub(super) fn smallest(&self) -> usize {
        self.smallest.load(Ordering::Relaxed)
    }

    /// Refuses what its topic would refuse, and what has no topic.
    pub(super) async fn check(
        &self,
        records: &[Outgoing],
        admin: &Renewed<AdminClient<Quiet>>,
        meta: &Arc<Meta>,
    ) -> Result<(), BusError> {
        for record in records {
            let known = self.known.read().get(record.topic.as_str()).copied();
            let limit = match known {
                Some(limit) => limit,
                None => self.ask(&record.topic, admin, meta).await?,
            };
            let size = convert::size(record);
            if size > limit {
                let topic = record.topic.to_string();
                return Err(BusError::TooLarge { topic, size, limit });
            }
        }
        Ok(())
    }

    /// Forgets what was asked, because it has changed.
    pub(super) fn forget(&self) {
        self.known.write().clear();
    }

    async fn ask(
        &self,
        topic: &str,
        admin: &Renewed<AdminClient<Quiet>>,
        meta: &Arc<Meta>,
    ) -> Result<usize, BusError> {
        let options = AdminOptions::new().request_timeout(Some(meta.timeout()));
        let topics = [ResourceSpecifier::Topic(topic)];
        let client = admin.get();
        let answers = client.describe_configs(&topics, &options).await;
        let answers = admin.answered(&client, answers.map_err(|error| error::of(&error, topic)));
        let answers = answers.map_err(|error| meta.explain(error))?;
        let limit = match answers.into_iter().next() {
            Some(Ok(config)) => {
                let entry = config
                    .get("max.message.bytes")
                    .and_then(|entry| entry.value.as_deref());
                entry
                    .and_then(|text| text.parse().ok())
                    .map(|bytes: usize| bytes.saturating_sub(OVERHEAD))
            }
            _ => None,
        };
        let limit = if let Some(limit) = limit {
            limit
        } else {
            // There is no such topic, or we may not ask about its settings: then the broker's refusal has to do.
            let topic = topic.to_owned();
            meta.ask(move |meta| meta.partitions(&topic)).await?;
            usize::MAX
        };
        self.known.write().insert(topic.to_owned(), limit);
        self.smallest.fetch_min(limit, Ordering::Relaxed);
        Ok(limit)
    }
}
