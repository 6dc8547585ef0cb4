//! librdkafka's callbacks: its log, and changes of a member's partitions.

use std::collections::{BTreeMap, HashMap, VecDeque};

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::Notify;

use super::refusal::Refusal;
use crate::{Commit, ConsumerEvent, Partition};

/// Sends librdkafka's log lines to ours. What matters is reported as an error where it happens, so its lines are details.
fn log(level: Level, facility: &str, line: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical => {
            tracing::error!(target: "rdkafka", facility, "{line}");
        }
        Level::Error | Level::Warning => tracing::debug!(target: "rdkafka", facility, "{line}"),
        Level::Notice | Level::Info | Level::Debug => tracing::trace!(target: "rdkafka", facility, "{line}"),
    }
}

/// For clients without a group: remembers why brokers turned them away.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    pub(super) refusal: Refusal,
}

impl ClientContext for Quiet {
    fn log(&self, level: Level, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "rdkafka", %error, "{reason}");
        self.refusal.remember(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// For a group's member: remembers what happens to its partitions until somebody asks.
#[derive(Debug, Default)]
pub(super) struct Membership {
    events: Mutex<VecDeque<ConsumerEvent>>,
    /// What is ours, and how far it was committed: by whoever had it before, then by us. Nothing while that is not known.
    owned: Mutex<BTreeMap<Partition, Option<i64>>>,
    changed: Notify,
}

impl Membership {
    /// The oldest change that has not been told yet.
    pub(super) fn next_event(&self) -> Option<ConsumerEvent> {
        self.events.lock().pop_front()
    }

    /// Which partitions of the oldest change must be looked at before it is told.
    pub(super) fn unconfirmed(&self) -> Vec<Partition> {
        let events = self.events.lock();
        let Some(ConsumerEvent::Assigned(won)) = events.front() else {
            return Vec::new();
        };
        let owned = self.owned.lock();
        let is_new = |partition: &&Partition| matches!(owned.get(*partition), Some(None));
        won.iter().filter(is_new).cloned().collect()
    }

    /// So far these were committed before they became ours.
    pub(super) fn confirm(&self, floors: Vec<(Partition, i64)>) {
        let mut owned = self.owned.lock();
        for (partition, floor) in floors {
            if let Some(known @ None) = owned.get_mut(&partition) {
                *known = Some(floor);
            }
        }
    }

    /// What is ours and was looked at, and how far each was committed.
    pub(super) fn floors(&self) -> HashMap<Partition, i64> {
        let owned = self.owned.lock();
        let known = owned.iter();
        known
            .filter_map(|(partition, floor)| Some((partition.clone(), (*floor)?)))
            .collect()
    }

    /// All that is ours.
    pub(super) fn owned(&self) -> Vec<Partition> {
        self.owned.lock().keys().cloned().collect()
    }

    /// Completes when there may be a change to tell.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether the partition is ours now.
    pub(super) fn owns(&self, partition: &Partition) -> bool {
        self.owned.lock().contains_key(partition)
    }

    /// Whether a commit is to be told: what lies behind an earlier one, or is not ours, comes too late.
    pub(super) fn advances(&self, commit: &Commit) -> bool {
        match self.owned.lock().get_mut(&commit.partition) {
            Some(Some(before)) if commit.next >= *before => {
                *before = commit.next;
                true
            }
            _ => false,
        }
    }

    fn tell(&self, event: ConsumerEvent) {
        self.events.lock().push_back(event);
        self.changed.notify_one();
    }
}

impl ClientContext for Membership {
    fn log(&self, level: Level, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "rdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let lost = partitions(list);
            self.owned.lock().retain(|partition, _| !lost.contains(partition));
            if !lost.is_empty() {
                self.tell(ConsumerEvent::Revoked(lost));
            }
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let won = partitions(list);
            let fresh = won.iter().map(|partition| (partition.clone(), None));
            self.owned.lock().extend(fresh);
            if !won.is_empty() {
                self.tell(ConsumerEvent::Assigned(won));
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // The offsets stay stored and go with the next commit.
            tracing::debug!(target: "rdkafka", %error, "a commit failed");
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    elements
        .iter()
        .map(|element| Partition::new(element.topic(), element.partition()))
        .collect()
}
