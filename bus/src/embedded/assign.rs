//! Which member of a group reads which partition: balanced topic by topic, and nothing moves without need.
//!
//! Topic by topic, because a worker must get partitions of each of its lanes, not all of one.

use std::collections::BTreeMap;

use super::slot::Slot;

/// A member of a group, by its number.
pub(super) type MemberId = u64;

/// The partitions of one topic, and who wants them.
pub(super) struct Wanted {
    pub slots: Vec<Slot>,
    pub members: Vec<MemberId>,
}

/// Who shall own each slot. `owners` are the owners until now; they keep what balance allows them to keep.
pub(super) fn assign(topics: &[Wanted], owners: &BTreeMap<Slot, MemberId>) -> BTreeMap<Slot, MemberId> {
    let mut total: BTreeMap<MemberId, usize> = BTreeMap::new();
    let mut targets = BTreeMap::new();
    for topic in topics.iter().filter(|topic| !topic.members.is_empty()) {
        for (slot, member) in one_topic(topic, owners, &total) {
            *total.entry(member).or_default() += 1;
            targets.insert(slot, member);
        }
    }
    targets
}

fn one_topic(
    topic: &Wanted,
    owners: &BTreeMap<Slot, MemberId>,
    total: &BTreeMap<MemberId, usize>,
) -> Vec<(Slot, MemberId)> {
    let mut shares: BTreeMap<MemberId, Vec<Slot>> =
        topic.members.iter().map(|member| (*member, Vec::new())).collect();
    let mut free = Vec::new();
    for slot in &topic.slots {
        match owners.get(slot).and_then(|owner| shares.get_mut(owner)) {
            Some(share) => share.push(*slot),
            None => free.push(*slot),
        }
    }
    let load = |member: &MemberId, share: &Vec<Slot>| {
        (share.len(), total.get(member).copied().unwrap_or(0), *member)
    };
    for slot in free {
        let least = shares.iter().map(|(member, share)| load(member, share)).min();
        if let Some((_, _, member)) = least {
            shares.entry(member).or_default().push(slot);
        }
    }
    loop {
        let most = shares.iter().map(|(member, share)| load(member, share)).max();
        let least = shares.iter().map(|(member, share)| load(member, share)).min();
        let (Some((most, _, from)), Some((least, _, to))) = (most, least) else {
            break;
        };
        if most < least + 2 {
            break;
        }
        let moved = shares.get_mut(&from).and_then(Vec::pop);
        shares.entry(to).or_default().extend(moved);
    }
    shares
        .into_iter()
        .flat_map(|(member, share)| share.into_iter().map(move |slot| (slot, member)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(targets: &BTreeMap<Slot, MemberId>, member: MemberId) -> usize {
        targets.values().filter(|owner| **owner == member).count()
    }

    #[test]
    fn each_topic_is_split_evenly_and_every_slot_has_one_owner() {
        for (slots, members) in [(6, 1), (6, 2), (6, 4), (7, 2), (1, 3), (6, 6)] {
            let topics: Vec<Wanted> = (0..2)
                .map(|topic| Wanted {
                    slots: (0..slots).map(|slot| topic * 100 + slot).collect(),
                    members: (0..members).collect(),
                })
                .collect();
            let targets = assign(&topics, &BTreeMap::new());
            assert_eq!(targets.len(), 2 * slots as usize);
            for topic in 0..2 {
                let shares: Vec<usize> = (0..members)
                    .map(|member| {
                        targets
                            .iter()
                            .filter(|(slot, owner)| **slot / 100 == topic && **owner == member)
                            .count()
                    })
                    .collect();
                let (least, most) = (shares.iter().min(), shares.iter().max());
                assert!(
                    most <= least.map(|least| least + 1).as_ref(),
                    "{slots} slots, {members} members: {shares:?}"
                );
            }
        }
    }

    #[test]
    fn a_newcomer_takes_only_its_share_and_the_rest_stays() {
        let before: BTreeMap<Slot, MemberId> = (0..6).map(|slot| (slot, 1)).collect();
        let wanted = [Wanted {
            slots: (0..6).collect(),
            members: vec![1, 2],
        }];
        let targets = assign(&wanted, &before);
        assert_eq!((count(&targets, 1), count(&targets, 2)), (3, 3));
        let again = assign(&wanted, &targets);
        assert_eq!(again, targets);
    }

    #[test]
    fn odd_partitions_of_many_topics_do_not_all_go_to_the_first_member() {
        let topics: Vec<Wanted> = (0..4)
            .map(|topic| Wanted {
                slots: vec![topic],
                members: vec![1, 2],
            })
            .collect();
        let targets = assign(&topics, &BTreeMap::new());
        assert_eq!((count(&targets, 1), count(&targets, 2)), (2, 2));
    }

    #[test]
    fn without_members_nobody_owns_anything() {
        let topics = [Wanted {
            slots: vec![1],
            members: vec![],
        }];
        assert!(assign(&topics, &BTreeMap::from([(1, 9)])).is_empty());
    }
}
