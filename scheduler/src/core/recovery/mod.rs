//! From a predecessor's log to the lead: how far each input is folded, what a snapshot said that was not read again yet, and
//! the epoch once this instance decides.
//!
//! Invariant: an offset only grows after [`Recovery::bound`]. A position stays expected until it is read, its request is known
//! to have ended, or no record will ever be read there (it is damaged, or the log no longer holds it); a lease that is expected is also in the next snapshot, so no successor loses it.

mod expected;
mod input;

pub use relay_runner::At;
use relay_schemas::{FoldedOffset, RequestId, SchedulerSnapshot};

pub use expected::{Expected, Orphan, WaitingSteps};
pub use input::Input;

/// Where each input ended at the election.
pub type Ends = relay_runner::Ends<Input>;
/// How far each input is folded.
pub type Offsets = relay_runner::Offsets<Input>;

/// See the module.
#[derive(Debug, Default)]
pub struct Recovery {
    offsets: Offsets,
    expected: expected::Positions,
    epoch: Option<i64>,
}

impl Recovery {
    /// Takes a snapshot of `pool` in. What waits or runs comes to life when its `ready` record is offered again.
    pub fn restore(&mut self, snapshot: &SchedulerSnapshot, pool: &str) {
        for folded in &snapshot.folded {
            let mut inputs = Input::ALL.into_iter();
            if let Some(input) = inputs.find(|input| input.topic(pool) == folded.topic) {
                self.offsets.set(input, folded.partition, folded.next);
            }
        }
        self.expected.restore(snapshot);
    }

    /// Says what a partition's log holds. A log that was cut back is folded from its new end on; what lies before its start
    /// can never be folded.
    pub fn bound(&mut self, input: Input, partition: i32, low: i64, high: i64) {
        let next = self.offsets.next(input, partition);
        self.offsets.set(input, partition, next.clamp(low, high.max(low)));
        if input == Input::Ready {
            self.expected.give_up_outside(partition, low, high);
        }
    }

    /// From now on this instance decides, under `epoch`.
    pub fn lead(&mut self, epoch: i64) {
        self.epoch = Some(epoch);
    }

    /// Leases whose requests no record will bring, once. Only a leader may end them.
    pub fn take_orphans(&mut self) -> Vec<Orphan> {
        self.expected.take_orphans()
    }

    /// Whether it decides.
    pub fn leads(&self) -> bool {
        self.epoch.is_some()
    }

    /// Under which epoch, if it decides.
    pub fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// How far the inputs are folded.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// The same, for a snapshot.
    pub fn folded(&self, pool: &str) -> Vec<FoldedOffset> {
        let offsets = self.offsets.iter();
        offsets
            .map(|(input, partition, next)| FoldedOffset {
                topic: input.topic(pool),
                partition,
                next,
            })
            .collect()
    }

    /// Notes that the record at `at` is folded; false if it was before.
    pub fn fold(&mut self, input: Input, at: At) -> bool {
        self.offsets.fold(input, at)
    }

    /// A record of `ready` is read at `at`, in order: what a snapshot expects before it is gone.
    pub fn reads(&mut self, at: At) {
        self.expected.give_up_before(at);
    }

    /// The `ready` record at `at` is damaged: it is folded, and its request waits no longer. True if its lease ends it.
    pub fn damaged(&mut self, at: At) -> bool {
        self.offsets.fold(Input::Ready, at);
        self.expected.give_up_damaged(at)
    }

    /// What the snapshot said of a position, once.
    pub fn take_expected(&mut self, at: At) -> Option<Expected> {
        self.expected.take(at)
    }

    /// All that a snapshot said and that was not read again yet.
    pub fn expected(&self) -> impl Iterator<Item = (At, &Expected)> {
        self.expected.iter()
    }

    /// A request has ended: its lease must not be handed on once its outcome is too old to be read again.
    pub fn forget_lease_of(&mut self, id: &RequestId) {
        self.expected.forget_lease_of(id);
    }

    /// Where `ready` must be read from: the lowest position that a snapshot expects, else what is not folded.
    pub fn ready_from(&self, partition: i32) -> i64 {
        let next = self.offsets.next(Input::Ready, partition);
        let lowest = self.expected.lowest(partition);
        lowest.map_or(next, |lowest| lowest.min(next))
    }

    /// Whether the `ready` record at `at` matters: it is new, or a snapshot expects it.
    pub fn wants(&self, at: At) -> bool {
        at.offset >= self.offsets.next(Input::Ready, at.partition) || self.expected.contains(at)
    }

    /// Whether everything offered and dispatched before the election is folded. Offers that do not fit into memory do not count.
    pub fn has_folded_work(&self, ends: &Ends, memory_is_full: bool) -> bool {
        let work = ends.iter().filter(|(input, ..)| *input != Input::Outcomes);
        self.unfolded(work, memory_is_full).is_none()
    }

    /// What must still be folded, of all of it, what ended before the election too: one partition, and from where on.
    pub fn lacks(&self, ends: &Ends, memory_is_full: bool) -> Option<(Input, At)> {
        self.unfolded(ends.iter(), memory_is_full)
    }

    fn unfolded(
        &self,
        mut ends: impl Iterator<Item = (Input, i32, i64)>,
        memory_is_full: bool,
    ) -> Option<(Input, At)> {
        ends.find_map(|(input, partition, end)| {
            let offset = match input {
                Input::Ready if memory_is_full => return None,
                // What a snapshot only gives by its position counts as folded when it was read again.
                Input::Ready => self.ready_from(partition),
                Input::WorkShort | Input::WorkLong | Input::Outcomes => self.offsets.next(input, partition),
            };
            (offset < end).then_some((input, At { partition, offset }))
        })
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::{LeaseEntry, RequeuedPosition, TokenCount};

    use super::*;

    fn at(offset: i64) -> At {
        At { partition: 0, offset }
    }

    fn empty() -> SchedulerSnapshot {
        SchedulerSnapshot::default()
    }

    /// `ready` is folded to 10, three positions before wait.
    fn restored() -> Recovery {
        let mut waiting = WaitingSteps::default();
        for offset in [7, 4] {
            waiting.add(at(offset));
        }
        let snapshot = SchedulerSnapshot {
            folded: vec![FoldedOffset {
                topic: Input::Ready.topic("p"),
                partition: 0,
                next: 10,
            }],
            waiting: waiting.into_positions(),
            requeued: vec![RequeuedPosition {
                partition: 0,
                offset: 5,
                attempt: 2,
                waited_ms: 30,
                let_off: 1,
            }],
            ..empty()
        };
        let mut recovery = Recovery::default();
        recovery.restore(&snapshot, "p");
        recovery
    }

    #[test]
    fn ready_is_read_from_the_lowest_position_that_is_expected() {
        let mut recovery = restored();
        assert_eq!(recovery.ready_from(0), 4);
        assert_eq!(recovery.ready_from(1), 0);
        for offset in [4, 5, 7] {
            assert!(recovery.take_expected(at(offset)).is_some(), "{offset}");
            assert!(recovery.take_expected(at(offset)).is_none(), "once: {offset}");
        }
        assert_eq!(recovery.ready_from(0), 10);
    }

    #[test]
    fn only_new_records_and_expected_ones_are_wanted() {
        let recovery = restored();
        let wanted: Vec<i64> = (3..12).filter(|offset| recovery.wants(at(*offset))).collect();
        assert_eq!(wanted, [4, 5, 7, 10, 11]);
    }

    #[test]
    fn a_requeued_position_keeps_its_attempts_and_its_wait() {
        let expected = restored().take_expected(at(5));
        assert!(matches!(
            expected,
            Some(Expected::Waiting {
                attempt: 2,
                waited_ms: 30,
                let_off: 1,
            })
        ));
    }

    #[test]
    fn what_the_log_no_longer_holds_is_expected_no_longer() {
        let mut recovery = restored();
        recovery.bound(Input::Ready, 0, 5, 7);
        let left: Vec<At> = recovery.expected().map(|(at, _)| at).collect();
        assert_eq!(left, [at(5)], "the start is in the log, its end is not");
        assert_eq!(
            recovery.offsets().next(Input::Ready, 0),
            7,
            "cut back to the log's end"
        );
        recovery.bound(Input::Outcomes, 0, 3, 3);
        assert_eq!(recovery.offsets().next(Input::Outcomes, 0), 3);
    }

    /// A leader that waited for either never led again (found by an attacker of the release build).
    #[test]
    fn a_position_that_is_damaged_or_read_past_is_waited_for_no_longer() {
        let mut recovery = restored();
        let mut ends = Ends::default();
        ends.add(Input::Ready, 0, 10);
        assert!(!recovery.damaged(at(4)), "it was not leased");
        assert_eq!(recovery.lacks(&ends, false), Some((Input::Ready, at(5))));
        recovery.reads(at(5));
        assert!(recovery.wants(at(5)), "it is being read");
        recovery.reads(at(8));
        assert_eq!(recovery.lacks(&ends, false), None);
        assert_eq!(recovery.offsets().next(Input::Ready, 0), 10);
    }

    #[test]
    fn a_lease_that_no_record_brings_is_an_orphan_once_unless_it_has_ended() {
        let work = relay_schemas::samples::work();
        let lease = |id: &str, offset| LeaseEntry {
            request_id: id.into(),
            tenant: work.request.tenant.clone(),
            ready_partition: Some(0),
            ready_offset: Some(offset),
            queueing: work.queueing.clone(),
            lease: work.lease.clone(),
            tokens: TokenCount(0),
            cancelled: false,
            let_off: 0,
        };
        let snapshot = SchedulerSnapshot {
            leases: vec![lease("damaged", 20), lease("gone", 21), lease("ended", 22)],
            ..empty()
        };
        let mut recovery = Recovery::default();
        recovery.restore(&snapshot, "p");
        assert!(recovery.damaged(at(20)), "its lease ends it");
        recovery.reads(at(23));
        recovery.forget_lease_of(&"ended".into());
        let orphans = recovery.take_orphans();
        assert_eq!(
            orphans,
            [
                Orphan::Damaged(lease("damaged", 20)),
                Orphan::Gone(lease("gone", 21))
            ]
        );
        assert!(recovery.take_orphans().is_empty());
    }

    #[test]
    fn work_is_folded_before_outcomes_are() {
        let mut recovery = Recovery::default();
        let mut ends = Ends::default();
        for input in Input::ALL {
            ends.add(input, 0, 1);
        }
        for input in [Input::Ready, Input::WorkShort, Input::WorkLong] {
            assert!(!recovery.has_folded_work(&ends, false), "before {input:?}");
            recovery.fold(input, at(0));
        }
        assert!(recovery.has_folded_work(&ends, false));
        assert_eq!(recovery.lacks(&ends, false), Some((Input::Outcomes, at(0))));
        recovery.fold(Input::Outcomes, at(0));
        assert_eq!(recovery.lacks(&ends, false), None);
    }

    #[test]
    fn offers_that_do_not_fit_into_memory_hold_no_election_up() {
        let recovery = restored();
        let mut ends = Ends::default();
        ends.add(Input::Ready, 0, 10);
        let lacks = recovery.lacks(&ends, false);
        assert_eq!(lacks, Some((Input::Ready, at(4))), "4 was not read again");
        assert_eq!(recovery.lacks(&ends, true), None);
    }

    #[test]
    fn it_decides_from_its_epoch_on() {
        let mut recovery = Recovery::default();
        assert_eq!((recovery.leads(), recovery.epoch()), (false, None));
        recovery.lead(0);
        assert_eq!((recovery.leads(), recovery.epoch()), (true, Some(0)));
    }
}
