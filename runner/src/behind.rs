//! Whether whoever reads gets what there is: held against the log itself, twice in a row, as something may always have come a moment
//! ago, and as a broker that was away may for a moment tell of a log that others have gone on with.

use std::collections::BTreeMap;

use relay_bus::{Bus, BusError, Partition};

/// How far partitions are read.
pub(crate) type Places = BTreeMap<Partition, i64>;

/// What a look at the log found of places.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Those behind which something lies.
    unread: Places,
    /// Those to which the log does not reach.
    beyond: Places,
}

/// Holds places against the log. A bus that does not answer is told by others.
pub(crate) async fn look(bus: &dyn Bus, places: &Places) -> Found {
    let mut found = Found::default();
    for (partition, next) in places {
        let Ok(held) = bus.range(partition).await else {
            continue;
        };
        if held.high < *next {
            found.beyond.insert(partition.clone(), *next);
        } else if held.holds_behind(*next) {
            found.unread.insert(partition.clone(), *next);
        }
    }
    found
}

/// What was found when the log was looked at last, and which partitions stand still.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    found: Found,
    /// And in how many looks since each was nobody's here: whoever takes its place in a group anew loses its partitions for a while,
    /// and has mended nothing by that.
    stuck: BTreeMap<Partition, u32>,
}

/// For how many looks it is remembered what stood still before it went to somebody else.
const REMEMBERED: u32 = 6;

impl Behind {
    /// What could not be read is not late: it is looked at twice anew.
    pub(crate) fn forget(&mut self) {
        self.found = Found::default();
    }

    /// Something came of a partition.
    pub(crate) fn came(&mut self, partition: &Partition) {
        self.stuck.remove(partition);
    }

    /// Whether no partition stands still.
    pub(crate) fn moves(&self) -> bool {
        self.stuck.is_empty()
    }

    /// Takes in what was `found` of the places that were read to `now` meanwhile; says what stands still, if anything does.
    ///
    /// # Errors
    /// Where a log does not reach as far as it was read.
    pub(crate) fn take(&mut self, mut found: Found, now: &Places) -> Result<Option<String>, BusError> {
        for places in [&mut found.unread, &mut found.beyond] {
            places.retain(|partition, next| now.get(partition) == Some(next));
        }
        let before = std::mem::replace(&mut self.found, found);
        if let Some((partition, next)) = twice(&before.beyond, &self.found.beyond).next() {
            return Err(BusError::rewound(partition, *next));
        }
        let unread = &self.found.unread;
        self.stuck.retain(|partition, absent| {
            *absent = if now.contains_key(partition) {
                0
            } else {
                *absent + 1
            };
            unread.contains_key(partition) || (1..=REMEMBERED).contains(absent)
        });
        let late = twice(&before.unread, unread).map(|(partition, _)| (partition.clone(), 0));
        self.stuck.extend(late);
        let first = self.stuck.keys().find_map(|stuck| unread.get_key_value(stuck));
        Ok(first.map(|(Partition { topic, partition }, next)| {
            format!(
                "nothing comes of {topic}-{partition} behind offset {next}, though its log reaches further"
            )
        }))
    }
}

/// The places of both.
fn twice<'a>(before: &'a Places, now: &'a Places) -> impl Iterator<Item = (&'a Partition, &'a i64)> {
    now.iter()
        .filter(|(partition, next)| before.get(*partition) == Some(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(next: &[i64]) -> Places {
        let numbered = (0..).zip(next);
        numbered
            .map(|(number, next)| (Partition::new("t", number), *next))
            .collect()
    }

    fn unread(next: &[i64]) -> Found {
        Found {
            unread: places(next),
            ..Found::default()
        }
    }

    fn beyond(next: &[i64]) -> Found {
        Found {
            beyond: places(next),
            ..Found::default()
        }
    }

    #[test]
    fn a_place_stands_still_once_it_was_behind_twice_and_nothing_came_in_between() {
        let mut behind = Behind::default();
        let mut take = |found, now: &[i64]| behind.take(found, &places(now)).expect("it reaches as far");
        assert_eq!(take(unread(&[5, 7]), &[5, 7]), None, "it may come");
        assert_eq!(take(unread(&[5, 7]), &[6, 8]), None, "it came");
        assert_eq!(take(unread(&[6]), &[6, 8]), None);
        assert_eq!(take(unread(&[7]), &[7, 8]), None, "another record");
        let said = take(unread(&[7, 8]), &[7, 8]).expect("it stands still");
        assert!(said.contains("t-0 behind offset 7"), "{said}");
        behind.forget();
        behind.came(&Partition::new("t", 0));
        assert_eq!(
            behind
                .take(unread(&[7]), &places(&[7]))
                .expect("it reaches as far"),
            None
        );
    }

    #[test]
    fn what_comes_of_other_partitions_does_not_make_one_move_that_stands_still() {
        let mut behind = Behind::default();
        for next in [8, 9] {
            let look = behind.take(unread(&[7]), &places(&[7, next]));
            assert_eq!(look.expect("it reaches as far").is_some(), next == 9);
            behind.came(&Partition::new("t", 1));
        }
        assert!(!behind.moves());
        behind.forget();
        assert!(!behind.moves(), "another reader has brought nothing yet");
        behind.came(&Partition::new("t", 0));
        assert!(behind.moves());
    }

    #[test]
    fn a_place_that_is_taken_anew_does_not_make_a_partition_move_that_stands_still() {
        let mut behind = Behind::default();
        let take = |behind: &mut Behind, found, now: &[i64]| {
            let taken = behind.take(found, &places(now));
            taken.expect("it reaches as far")
        };
        take(&mut behind, unread(&[7]), &[7]);
        assert!(take(&mut behind, unread(&[7]), &[7]).is_some());
        take(&mut behind, Found::default(), &[]);
        assert!(!behind.moves(), "it has gone and may come again");
        assert!(
            take(&mut behind, unread(&[5]), &[5]).is_some(),
            "it is here again and brings nothing"
        );
        for _ in 0..=REMEMBERED {
            assert!(!behind.moves());
            take(&mut behind, Found::default(), &[]);
        }
        assert!(behind.moves(), "it is another's");
    }

    #[test]
    fn that_a_log_ends_before_what_was_read_is_believed_when_it_is_told_twice() {
        let mut behind = Behind::default();
        let mut take = |found, now: &[i64]| behind.take(found, &places(now));
        take(beyond(&[9]), &[9]).expect("a broker that was away may say so");
        take(beyond(&[]), &[9]).expect("it was not so");
        take(beyond(&[9]), &[9]).expect("again, once");
        let refused = take(beyond(&[9]), &[9]).expect_err("it is so");
        assert!(
            refused.to_string().contains("t-0 was read to offset 9"),
            "{refused}"
        );
    }
}
