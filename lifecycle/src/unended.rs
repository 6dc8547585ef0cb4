//! Which accepted requests are not known to have ended, and which of them are overdue. Pure: who reads the log says what it
//! read, and ends what this names.
//!
//! A request is overdue a margin after its deadline, and after it was read: whoever has it in hand ends it at its deadline, and
//! after a restart everybody has to catch up first.

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

/// Where a request was accepted: partition and offset.
pub type Place = (i32, i64);

/// A request as its headers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asks.
    pub tenant: TenantId,
    /// When it must have ended.
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
    due: TimestampMs,
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
    pub fn read(&mut self, (partition, offset): Place, request: Option<OpenRequest>, now: TimestampMs) {
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
        let due = request.deadline.max(now).plus_ms(self.margin_ms);
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
    pub fn overdue(&self, now: TimestampMs, most: usize) -> Vec<Overdue> {
        let open = self.partitions.iter().flat_map(|(partition, track)| {
            track
                .open
                .iter()
                .map(move |(offset, open)| ((*partition, *offset), open))
        });
        open.filter(|(_, open)| open.due <= now)
            .take(most)
            .map(|(place, open)| Overdue {
                id: open.id.clone(),
                tenant: open.tenant.clone(),
                batch: open.batch.clone(),
                place,
            })
            .collect()
    }

    /// When the first request is overdue.
    pub fn first_due(&self) -> Option<TimestampMs> {
        let open = self.partitions.values().flat_map(|track| track.open.values());
        open.map(|open| open.due).min()
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

    fn ids(unended: &Unended, now: i64) -> Vec<String> {
        let overdue = unended.overdue(TimestampMs(now), 10);
        overdue
            .into_iter()
            .map(|overdue| overdue.id.to_string())
            .collect()
    }

    #[test]
    fn a_request_is_overdue_a_margin_after_its_deadline_and_after_it_was_read() {
        let mut unended = Unended::new(10, 100);
        unended.own(0, 0);
        unended.read((0, 0), Some(request("in time", 1_000)), TimestampMs(500));
        unended.read((0, 1), Some(request("read late", 1_000)), TimestampMs(5_000));
        assert_eq!(ids(&unended, 1_099), [""; 0]);
        assert_eq!(ids(&unended, 1_100), ["in time"]);
        assert_eq!(ids(&unended, 5_100), ["in time", "read late"]);
        assert_eq!(unended.overdue(TimestampMs(9_000), 1).len(), 1);
        unended.ended(&"in time".into());
        assert_eq!(unended.first_due(), Some(TimestampMs(5_100)));
    }

    #[test]
    fn reading_resumes_at_the_lowest_request_that_has_not_ended() {
        let mut unended = Unended::new(10, 0);
        unended.own(2, 7);
        let resume = |unended: &Unended| unended.resume_at().collect::<Vec<_>>();
        assert_eq!(resume(&unended), [(2, 7)]);
        for (offset, id) in [(7, "a"), (8, "b"), (11, "c")] {
            unended.read((2, offset), Some(request(id, 0)), TimestampMs(0));
        }
        unended.read((2, 12), None, TimestampMs(0));
        unended.ended(&"b".into());
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
        unended.read((0, 0), Some(request("a", 10)), TimestampMs(0));
        unended.read((0, 1), Some(request("a", 99)), TimestampMs(0));
        unended.read((0, 0), Some(request("b", 5)), TimestampMs(0));
        assert_eq!(
            ids(&unended, 10),
            ["a"],
            "the first record decides, and what was read is not read again"
        );
        unended.read((1, 0), Some(request("c", 10)), TimestampMs(0));
        unended.lose(0);
        assert_eq!(ids(&unended, 10), ["c"]);
        unended.read((0, 2), Some(request("d", 0)), TimestampMs(0));
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
            unended.read((0, offset), Some(request(&offset.to_string(), 0)), TimestampMs(0));
        }
        assert!(unended.is_full());
        unended.ended(&"0".into());
        assert!(!unended.has_room());
        unended.ended(&"1".into());
        assert!(unended.has_room());
    }
}
