//! Commits: stored with the member that owns the partition, which sends them to the broker every now and then.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::blocking::blocking;
use super::context::{Membership, Quiet};
use super::{KafkaOptions, config, error};
use crate::{BusError, Commit, Partition};

pub(super) type Member = StreamConsumer<Membership>;

/// The groups that this process is a member of.
#[derive(Default)]
pub(super) struct Groups {
    members: Mutex<HashMap<String, Vec<Weak<Member>>>>,
}

impl Groups {
    pub(super) fn join(&self, group: &str, member: &Arc<Member>) {
        let mut members = self.members.lock();
        let members = members.entry(group.to_owned()).or_default();
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    fn members(&self, group: &str) -> Vec<Arc<Member>> {
        let members = self.members.lock();
        members
            .get(group)
            .into_iter()
            .flatten()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Notes the commits; those for partitions that were lost meanwhile are void, and none goes back. A group without a member
    /// here is told directly, and may be set back on purpose.
    pub(super) async fn commit(&self, commits: Vec<Commit>, options: &KafkaOptions) -> Result<(), BusError> {
        let mut elsewhere: HashMap<String, Vec<Commit>> = HashMap::new();
        for commit in commits {
            let members = self.members(&commit.group);
            if members.is_empty() {
                elsewhere.entry(commit.group.clone()).or_default().push(commit);
            } else if let Some(owner) = owner(&members, &commit.partition)
                && owner.context().advances(&commit)
            {
                store(owner, &commit);
            }
        }
        for (group, commits) in elsewhere {
            let options = options.clone();
            blocking(move || commit_directly(&options, &group, &commits)).await?;
        }
        Ok(())
    }

    /// Sends what is noted of `partition` to the broker now.
    pub(super) async fn flush(&self, group: &str, partition: &Partition) -> Result<(), BusError> {
        let members = self.members(group);
        let Some(owner) = owner(&members, partition).cloned() else {
            return Ok(());
        };
        drop(members);
        blocking(move || flush(&owner)).await
    }
}

/// Sends what `member` has noted to the broker now.
pub(super) fn flush(member: &Member) -> Result<(), BusError> {
    match member.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset)) => Ok(()),
        Err(error) => Err(error::of(&error, "")),
    }
}

fn owner<'a>(members: &'a [Arc<Member>], partition: &Partition) -> Option<&'a Arc<Member>> {
    members.iter().find(|member| member.context().owns(partition))
}

fn store(owner: &Member, commit: &Commit) {
    let stored = list(std::slice::from_ref(commit)).and_then(|list| owner.store_offsets(&list));
    if let Err(error) = stored {
        // It was revoked between the look and the store: whoever owns it now will see the records again.
        tracing::debug!(%error, messaging.group = commit.group, "a commit came too late");
    }
}

fn commit_directly(options: &KafkaOptions, group: &str, commits: &[Commit]) -> Result<(), BusError> {
    let asking: Result<BaseConsumer<Quiet>, _> =
        config::asking_for(options, group).create_with_context(Quiet::default());
    let committed = asking.and_then(|asking| asking.commit(&list(commits)?, CommitMode::Sync));
    committed.map_err(|error| error::of(&error, ""))
}

pub(super) fn list(commits: &[Commit]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for Commit { partition, next, .. } in commits {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*next))?;
    }
    Ok(list)
}
