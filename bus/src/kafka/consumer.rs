//! A member of a consumer group.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext, StreamConsumer};

use super::blocking::blocking;
use super::groups::{self, Member};
use super::{convert, error};
use crate::{BusError, Commit, Consumer, ConsumerEvent, Partition, Record};

/// Most records and bytes that one answer holds.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Reads what the group gives to this member.
pub(super) struct KafkaConsumer {
    /// `None` only once it has been left.
    member: Option<Arc<Member>>,
}

impl KafkaConsumer {
    pub(super) fn new(member: Arc<Member>) -> Self {
        Self { member: Some(member) }
    }

    fn member(&self) -> &Arc<Member> {
        self.member
            .as_ref()
            .expect("only leaving and dropping take it out")
    }
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        let member = self.member();
        loop {
            if let Some(event) = member.context().next_event() {
                return Ok(event);
            }
            // A change of partitions happens inside `recv`, which then goes on waiting: hence the second branch, which is
            // asked first so that nothing read afterwards can overtake the change.
            tokio::select! {
                biased;
                () = member.context().changed() => {}
                received = receive(member.as_ref()) => return received.map(ConsumerEvent::Records),
            }
        }
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        let paused = self.member().pause(&list(partitions));
        paused.map_err(|error| error::of(&error, ""))
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        let resumed = self.member().resume(&list(partitions));
        resumed.map_err(|error| error::of(&error, ""))
    }

    async fn commit(&mut self, mut commits: Vec<Commit>) -> Result<(), BusError> {
        let member = self.member().clone();
        commits.retain(|commit| member.context().advances(commit));
        if commits.is_empty() {
            return Ok(());
        }
        blocking(move || {
            let committed = groups::list(&commits).and_then(|list| member.commit(&list, CommitMode::Sync));
            committed.map_err(|error| error::of(&error, ""))
        })
        .await
    }

    async fn leave(mut self: Box<Self>) -> Result<(), BusError> {
        let member = self.member.take();
        blocking(move || {
            // What was noted is committed while the group is left, which happens when the last owner lets go.
            drop(member);
            Ok(())
        })
        .await
    }
}

impl Drop for KafkaConsumer {
    /// Leaving the group waits for the broker, which the threads that drop us must not.
    fn drop(&mut self) {
        let Some(member) = self.member.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(member));
        }
    }
}

/// Waits for a record and takes with it what else lies ready. May be dropped at any time: nothing is awaited once the first
/// record has been taken.
///
/// While the brokers are away librdkafka says so every second or so, and what it said lies ready like records do: all of it
/// is one error, or the outage would last until the last of these had been heard.
pub(super) async fn receive<C: ConsumerContext + 'static>(
    consumer: &StreamConsumer<C>,
) -> Result<Vec<Record>, BusError> {
    let mut stream = consumer.stream();
    let mut records = Vec::new();
    let mut bytes = 0;
    let mut failed = None;
    while records.len() < MOST_RECORDS && bytes < MOST_BYTES {
        let next = if records.is_empty() && failed.is_none() {
            stream.next().await
        } else {
            stream.next().now_or_never().flatten()
        };
        match next {
            Some(Ok(message)) => {
                let record = convert::record(&message);
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
                records.push(record);
            }
            Some(Err(error)) => {
                tracing::debug!(target: "rdkafka", %error, "an error in the stream of records");
                failed = error::of_consumption(&error).or(failed);
            }
            None => break,
        }
    }
    match failed {
        Some(failed) if records.is_empty() => Err(failed),
        _ => Ok(records),
    }
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for Partition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
