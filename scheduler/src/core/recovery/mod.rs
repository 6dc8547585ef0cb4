//! From a predecessor's log to the lead: how far each input is folded, what a snapshot said that was not read again yet, and
//! the epoch once this instance decides.
//!
//! Invariant: an offset only grows after [`Recovery::bound`]. A position stays expected until it is read, its request is known
//! to have ended, or the log no longer holds it; a lease that is expected is also in the next snapshot, so no successor loses it.

mod expected;
mod input;

pub use relay_runner::At;
use relay_schemas::{FoldedOffset, LeaseEntry, RequestId, SchedulerSnapshot};

pub use expected::{Expected, WaitingSteps};
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

    /// From now on this instance decides, under `epoch`. Leases whose bodies the log no longer holds come back: no record will
    /// bring them.
    pub fn lead(&mut self, epoch: i64) -> Vec<LeaseEntry> {
        self.epoch = Some(epoch);
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
        ends.iter().all(|(input, partition, end)| match input {
            Input::Outcomes => true,
            Input::Ready if memory_is_full => true,
            // What a snapshot only gives by its position counts as folded when it was read again.
            Input::Ready => self.ready_from(partition) >= end,
            Input::WorkShort | Input::WorkLong => self.offsets.next(input, partition) >= end,
        })
    }

    /// Whether all of it is folded, what ended before the election too.
    pub fn has_folded(&self, ends: &Ends, memory_is_full: bool) -> bool {
        let mut outcomes = ends.iter().filter(|(input, ..)| *input == Input::Outcomes);
        self.has_folded_work(ends, memory_is_full)
            && outcomes.all(|(input, partition, end)| self.offsets.next(input, partition) >= end)
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::RequeuedPosition;

    use super::*;

    fn at(offset: i64) -> At {
        At { partition: 0, offset }
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
            }],
            leases: Vec::new(),
            tenants: Vec::new(),
            last_left: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
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
                waited_ms: 30
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
        assert!(!recovery.has_folded(&ends, false));
        recovery.fold(Input::Outcomes, at(0));
        assert!(recovery.has_folded(&ends, false));
    }

    #[test]
    fn offers_that_do_not_fit_into_memory_hold_no_election_up() {
        let recovery = restored();
        let mut ends = Ends::default();
        ends.add(Input::Ready, 0, 10);
        assert!(!recovery.has_folded(&ends, false), "4 was not read again");
        assert!(recovery.has_folded(&ends, true));
    }

    #[test]
    fn it_decides_from_its_epoch_on() {
        let mut recovery = Recovery::default();
        assert_eq!((recovery.leads(), recovery.epoch()), (false, None));
        recovery.lead(0);
        assert_eq!((recovery.leads(), recovery.epoch()), (true, Some(0)));
    }
}
