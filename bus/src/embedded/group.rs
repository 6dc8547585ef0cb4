//! Consumer groups inside this process: who is in, who shall own what, who owns it now.
//!
//! Cooperative: a partition that moves stays with its owner until the owner has been told (its `next()` returned `Revoked`),
//! only then does the new owner get it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assign::{self, MemberId, Wanted};
use super::slot::Slot;

/// All groups, by name: their members are woken in the same order in each run.
#[derive(Default)]
pub(super) struct Groups(Mutex<BTreeMap<String, Arc<Group>>>);

impl Groups {
    pub(super) fn get(&self, name: &str) -> Arc<Group> {
        Arc::clone(self.0.lock().entry(name.to_owned()).or_default())
    }

    /// The groups that have members now, each with the topics that these read.
    pub(super) fn joined(&self) -> Vec<(String, Vec<String>)> {
        let groups = self.0.lock();
        let topics = |group: &Group| {
            let state = group.state.lock();
            let all: Vec<String> = state
                .members
                .values()
                .flat_map(|member| member.topics.clone())
                .collect();
            all
        };
        let joined = groups.iter().map(|(name, group)| (name.clone(), topics(group)));
        joined.filter(|(_, topics)| !topics.is_empty()).collect()
    }

    /// Whether somebody reads as this group now.
    pub(super) fn has_members(&self, name: &str) -> bool {
        let groups = self.0.lock();
        groups
            .get(name)
            .is_some_and(|group| !group.state.lock().members.is_empty())
    }

    /// Wakes every member, also those that own nothing to be woken by.
    pub(super) fn wake_all(&self) {
        for group in self.0.lock().values() {
            group.tell(&group.state.lock());
        }
    }

    /// Lets every group look again at what there is to own; after topics have changed.
    pub(super) fn rebalance_all(&self, slots: &dyn Fn(&str) -> Vec<Slot>) {
        let groups: Vec<Arc<Group>> = self.0.lock().values().cloned().collect();
        for group in groups {
            group.rebalance(slots);
        }
    }
}

#[derive(Default)]
pub(super) struct Group {
    /// Counts changes, so that a member sees without a lock that there is none.
    changes: AtomicU64,
    state: Mutex<GroupState>,
}

#[derive(Default)]
struct GroupState {
    last_id: MemberId,
    members: BTreeMap<MemberId, MemberInfo>,
    targets: BTreeMap<Slot, MemberId>,
    owners: BTreeMap<Slot, MemberId>,
}

struct MemberInfo {
    topics: Vec<String>,
    notify: Arc<Notify>,
}

/// What a member must do to be as the group wants it.
pub(super) enum Change {
    Revoked(Vec<Slot>),
    Assigned(Vec<Slot>),
    None,
}

impl Group {
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn join(
        &self,
        topics: &[String],
        notify: &Arc<Notify>,
        slots: &dyn Fn(&str) -> Vec<Slot>,
    ) -> MemberId {
        let mut state = self.state.lock();
        state.last_id += 1;
        let id = state.last_id;
        let info = MemberInfo {
            topics: topics.to_vec(),
            notify: Arc::clone(notify),
        };
        state.members.insert(id, info);
        self.plan(&mut state, slots);
        id
    }

    pub(super) fn leave(&self, id: MemberId, slots: &dyn Fn(&str) -> Vec<Slot>) {
        let mut state = self.state.lock();
        state.members.remove(&id);
        state.owners.retain(|_, owner| *owner != id);
        self.plan(&mut state, slots);
    }

    fn rebalance(&self, slots: &dyn Fn(&str) -> Vec<Slot>) {
        self.plan(&mut self.state.lock(), slots);
    }

    fn plan(&self, state: &mut GroupState, slots: &dyn Fn(&str) -> Vec<Slot>) {
        let mut wanted: BTreeMap<&str, Vec<MemberId>> = BTreeMap::new();
        for (id, member) in &state.members {
            for topic in &member.topics {
                wanted.entry(topic).or_default().push(*id);
            }
        }
        let wanted: Vec<Wanted> = wanted
            .into_iter()
            .map(|(topic, members)| Wanted {
                slots: slots(topic),
                members,
            })
            .collect();
        state.targets = assign::assign(&wanted, &state.owners);
        self.tell(state);
    }

    fn tell(&self, state: &GroupState) {
        self.changes.fetch_add(1, Ordering::Release);
        for member in state.members.values() {
            member.notify.notify_one();
        }
    }

    /// The next step of member `id` towards its target: first gives up, then takes what is free.
    pub(super) fn step(&self, id: MemberId) -> Change {
        let mut state = self.state.lock();
        let owned_wrongly: Vec<Slot> = state
            .owners
            .iter()
            .filter(|(slot, owner)| **owner == id && state.targets.get(*slot) != Some(&id))
            .map(|(slot, _)| *slot)
            .collect();
        if !owned_wrongly.is_empty() {
            state.owners.retain(|slot, _| !owned_wrongly.contains(slot));
            self.tell(&state);
            return Change::Revoked(owned_wrongly);
        }
        let free: Vec<Slot> = state
            .targets
            .iter()
            .filter(|(slot, target)| **target == id && !state.owners.contains_key(*slot))
            .map(|(slot, _)| *slot)
            .collect();
        if free.is_empty() {
            return Change::None;
        }
        for slot in &free {
            state.owners.insert(*slot, id);
        }
        Change::Assigned(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(_: &str) -> Vec<Slot> {
        (0..4).collect()
    }

    fn assigned(change: Change) -> Vec<Slot> {
        match change {
            Change::Assigned(slots) => slots,
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_partition_moves_only_after_its_owner_was_told() {
        let group = Group::default();
        let topics = ["t".to_owned()];
        let first = group.join(&topics, &Arc::default(), &slots);
        assert_eq!(assigned(group.step(first)), [0, 1, 2, 3]);
        let second = group.join(&topics, &Arc::default(), &slots);
        assert!(matches!(group.step(second), Change::None));
        assert!(matches!(group.step(first), Change::Revoked(revoked) if revoked.len() == 2));
        assert_eq!(assigned(group.step(second)).len(), 2);
        group.leave(first, &slots);
        assert_eq!(assigned(group.step(second)).len(), 2);
        assert!(matches!(group.step(second), Change::None));
    }
}
