//! Which accepted requests are not known to have ended, and which of them are overdue. Pure: who reads the log says what it
//! read, and ends what this names.
//!
//! A request is overdue a margin after its deadline, and after it was read: whoever has it in hand ends it at its deadline, and
//! after a restart everybody has to catch up first. By both clocks: a wall clock that was set says of a request that has just been
//! accepted that its time is over, and of one that is late that it is not. What is left of a request's time is therefore counted by
//! the setting under which it was accepted; a process that started after the clock was set knows of no other than the present one.

use std::collections::{BTreeMap, HashMap};

use relay_schemas::{BatchRef, RequestId, TenantId, TimestampMs};

/// Requests of the partitions that one sweeper owns.
#[derive(Debug)]
pub struct Unended {
    most: usize,
    margin_ms: i64,
    partitions: BTreeMap<i32, Track>,
    places: HashMap<RequestId, Place>,
}

/// When it is: in the world, by a clock that may be set, and by what has passed in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// In the world.
    pub at: TimestampMs,
    /// In this process, milliseconds.
    pub passed_ms: i64,
}

impl Moment {
    fn plus_ms(self, ms: i64) -> Self {
        Self {
            at: self.at.plus_ms(ms),
            passed_ms: self.passed_ms.saturating_add(ms),
        }
    }

    /// Whether it is over at `now`, by both clocks.
    fn is_over(self, now: Self) -> bool {
        self.at <= now.at && self.passed_ms <= now.passed_ms
    }
}

/// Where no clock is set.
impl From<TimestampMs> for Moment {
    fn from(at: TimestampMs) -> Self {
        Self { at, passed_ms: at.0 }
    }
}

/// Where a request was accepted: partition and offset.
pub type Place = (i32, i64);

/// A request as its headers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks.
    pub tenant: TenantId,
    /// When it must have ended, by the wall clock as it is set when this is read.
    pub deadline: TimestampMs,
    /// The batch line that it is.
    pub batch: Option<Box<BatchRef>>,
}

/// A request that nothing ended in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Its id.
    pub id: RequestId,
    /// Who asks.
    pub tenant: TenantId,
    /// The batch line that it is.
    pub batch: Option<Box<BatchRef>>,
    /// Where it was accepted.
    pub place: Place,
}

/// One partition.
#[derive(Debug)]
struct Track {
    open: BTreeMap<i64, Open>,
    next: i64,
}

#[derive(Debug)]
struct Open {
    id: RequestId,
    tenant: TenantId,
    batch: Option<Box<BatchRef>>,
    due: Moment,
}

impl Unended {
    /// Nothing is owned yet. Holds about `most` requests; each may be late by `margin_ms`.
    pub fn new(most: usize, margin_ms: i64) -> Self {
        Self {
            most: most.max(1),
            margin_ms,
            partitions: BTreeMap::new(),
            places: HashMap::new(),
        }
    }

    /// Owns `partition`, whose next record is the one at `next`.
    pub fn own(&mut self, partition: i32, next: i64) {
        self.lose(partition);
        let open = BTreeMap::new();
        self.partitions.insert(partition, Track { open, next });
    }

    /// Forgets `partition`: another sweeper owns it.
    pub fn lose(&mut self, partition: i32) {
        for open in self
            .partitions
            .remove(&partition)
            .into_iter()
            .flat_map(|track| track.open)
        {
            self.places.remove(&open.1.id);
        }
    }

    /// A record of `requests` was read; `None` where it names no request. The first record of a request decides its deadline.
    pub fn read(&mut self, (partition, offset): Place, request: Option<OpenRequest>, now: Moment) {
        let Some(track) = self
            .partitions
            .get_mut(&partition)
            .filter(|track| offset >= track.next)
        else {
            return;
        };
        track.next = offset + 1;
        let Some(request) = request else {
            return;
        };
        let OpenRequest {
            id, tenant, batch, ..
        } = request;
        if self.places.contains_key(&id) {
            return;
        }
        let left_ms = request.deadline.since_ms(now.at).max(0);
        let due = now.plus_ms(left_ms).plus_ms(self.margin_ms);
        self.places.insert(id.clone(), (partition, offset));
        let open = Open {
            id,
            tenant,
            batch,
            due,
        };
        track.open.insert(offset, open);
    }

    /// Whether `id` is not known to have ended.
    pub fn contains(&self, id: &RequestId) -> bool {
        self.places.contains_key(id)
    }

    /// An outcome of `id` was read.
    pub fn ended(&mut self, id: &RequestId) {
        if let Some((partition, offset)) = self.places.remove(id)
            && let Some(track) = self.partitions.get_mut(&partition)
        {
            track.open.remove(&offset);
        }
    }

    /// What is overdue at `now`, at most `most` requests.
    pub fn overdue(&self, now: Moment, most: usize) -> Vec<Overdue> {
        let open = self.partitions.iter().flat_map(|(partition, track)| {
            track
                .open
                .iter()
                .map(move |(offset, open)| ((*partition, *offset), open))
        });
        open.filter(|(_, open)| open.due.is_over(now))
            .take(most)
            .map(|(place, open)| Overdue {
                id: open.id.clone(),
                tenant: open.tenant.clone(),
                batch: open.batch.clone(),
                place,
            })
            .collect()
    }

    /// When the first request is overdue, in the world.
    pub fn first_due(&self) -> Option<TimestampMs> {
        let open = self.partitions.values().flat_map(|track| track.open.values());
        open.map(|open| open.due.at).min()
    }

    /// Of each partition: where reading goes on.
    pub fn next(&self) -> impl Iterator<Item = Place> {
        self.partitions
            .iter()
            .map(|(partition, track)| (*partition, track.next))
    }

    /// Of each partition: where reading must begin after a restart, so that nothing which has not ended is passed over.
    pub fn resume_at(&self) -> impl Iterator<Item = Place> {
        let lowest = |track: &Track| track.open.keys().next().copied().unwrap_or(track.next);
        self.partitions
            .iter()
            .map(move |(partition, track)| (*partition, lowest(track)))
    }

    /// Whether all that was read has ended.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether no more should be read for now.
    pub fn is_full(&self) -> bool {
        self.places.len() >= self.most
    }

    /// Whether reading is worth while again after it was full: reading on has its price for who reads outcomes.
    pub fn has_room(&self) -> bool {
        self.places.len() <= self.most / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, deadline: i64) -> OpenRequest {
        OpenRequest {
            id: id.into(),
            tenant: "acme".into(),
            deadline: TimestampMs(deadline),
            batch: None,
        }
    }

    /// By a clock that nobody sets.
    fn ms(at: i64) -> Moment {
        TimestampMs(at).into()
    }

    fn ids(unended: &Unended, now: i64) -> Vec<String> {
        let overdue = unended.overdue(ms(now), 10);
        overdue
            .into_iter()
            .map(|overdue| overdue.id.to_string())
            .collect()
    }

    #[test]
    fn a_request_is_overdue_a_margin_after_its_deadline_and_after_it_was_read() {
        let mut unended = Unended::new(10, 100);
        unended.own(0, 0);
        unended.read((0, 0), Some(request("in time", 1_000)), ms(500));
        unended.read((0, 1), Some(request("read late", 1_000)), ms(5_000));
        assert_eq!(ids(&unended, 1_099), [""; 0]);
        assert_eq!(ids(&unended, 1_100), ["in time"]);
        assert_eq!(ids(&unended, 5_100), ["in time", "read late"]);
        assert_eq!(unended.overdue(ms(9_000), 1).len(), 1);
        unended.ended(&"in time".into());
        assert_eq!(unended.first_due(), Some(TimestampMs(5_100)));
    }

    /// Found by an attacker: requests of two seconds' age were ended when a clock that had been set back was set right.
    #[test]
    fn a_request_is_overdue_only_where_its_time_has_passed_here_too() {
        let mut unended = Unended::new(10, 100);
        unended.own(0, 0);
        let at = |at, passed_ms| Moment {
            at: TimestampMs(at),
            passed_ms,
        };
        unended.read((0, 0), Some(request("a", 1_000)), at(500, 0));
        let overdue = |now| unended.overdue(now, 10).len();
        assert_eq!(overdue(at(9_000_000, 599)), 0, "the clock was set forward");
        assert_eq!(overdue(at(-9_000_000, 600)), 0, "the clock was set back");
        assert_eq!(overdue(at(1_100, 600)), 1);
    }

    #[test]
    fn reading_resumes_at_the_lowest_request_that_has_not_ended() {
        let mut unended = Unended::new(10, 0);
        unended.own(2, 7);
        let resume = |unended: &Unended| unended.resume_at().collect::<Vec<_>>();
        assert_eq!(resume(&unended), [(2, 7)]);
        for (offset, id) in [(7, "a"), (8, "b"), (11, "c")] {
            unended.read((2, offset), Some(request(id, 0)), ms(0));
        }
        unended.read((2, 12), None, ms(0));
        assert_eq!(
            unended.next().collect::<Vec<_>>(),
            [(2, 13)],
            "reading goes on there"
        );
        unended.ended(&"b".into());
        assert!(!unended.contains(&"b".into()) && unended.contains(&"a".into()));
        assert!(!unended.is_empty());
        assert_eq!(resume(&unended), [(2, 7)]);
        unended.ended(&"a".into());
        assert_eq!(resume(&unended), [(2, 11)]);
        unended.ended(&"c".into());
        assert_eq!(resume(&unended), [(2, 13)]);
        assert!(unended.is_empty());
    }

    #[test]
    fn a_repeat_changes_nothing_and_a_lost_partition_is_forgotten() {
        let mut unended = Unended::new(10, 0);
        unended.own(0, 0);
        unended.own(1, 0);
        unended.read((0, 0), Some(request("a", 10)), ms(0));
        unended.read((0, 1), Some(request("a", 99)), ms(0));
        unended.read((0, 0), Some(request("b", 5)), ms(0));
        assert_eq!(
            ids(&unended, 10),
            ["a"],
            "the first record decides, and what was read is not read again"
        );
        unended.read((1, 0), Some(request("c", 10)), ms(0));
        unended.lose(0);
        assert_eq!(ids(&unended, 10), ["c"]);
        unended.read((0, 2), Some(request("d", 0)), ms(0));
        assert_eq!(
            ids(&unended, 10),
            ["c"],
            "nothing of a partition that is not owned"
        );
    }

    #[test]
    fn it_is_full_at_its_bound_and_has_room_again_at_half_of_it() {
        let mut unended = Unended::new(4, 0);
        unended.own(0, 0);
        for offset in 0..4 {
            assert!(!unended.is_full());
            unended.read((0, offset), Some(request(&offset.to_string(), 0)), ms(0));
        }
        assert!(unended.is_full());
        unended.ended(&"0".into());
        assert!(!unended.has_room());
        unended.ended(&"1".into());
        assert!(unended.has_room());
    }
}
