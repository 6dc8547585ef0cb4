//! Which instance leads: decided by the log, clocks only suspect. Pure.
//!
//! A claim names the epoch it wants to follow. The first claim in log order that names the present epoch wins, and the next epoch
//! follows from its record alone; so every reader of the log comes to the same leader. Epochs are times, not offsets: a topic that
//! was made anew begins above everything that workers have seen. (To older builds a claim's epoch is its offset: such a leader is
//! followed by what it says itself.) A leader acts only while it reads its own
//! heartbeats back, and gives up earlier than others may suspect it. All times are of the steady clock: setting a wall clock
//! deposes nobody.

use relay_clock::millis;
use relay_schemas::{InstanceId, TimestampMs};

use super::heartbeat::LeadershipTimes;
use super::notice::{Notice, NoticeKind as Kind};

/// The epoch before anybody has led.
pub const NOBODY: i64 = -1;
/// A claim that is not read back for so long is made again, milliseconds.
const CLAIM_AGAIN_MS: i64 = 1_000;

/// What the log itself says of a record of the topic.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Where it lies.
    pub offset: i64,
    /// When it was appended.
    pub at: TimestampMs,
}

impl Appended {
    /// The least epoch that a claim can begin: its offset, or when it was appended, milliseconds since 1970.
    fn epoch(self) -> i64 {
        self.offset.max(self.at.0)
    }
}

/// What one instance knows of the leadership.
#[derive(Debug)]
pub struct Leadership {
    me: (InstanceId, i64),
    suspect_after_ms: i64,
    self_fence_after_ms: i64,
    epoch: i64,
    leader: Option<(InstanceId, i64)>,
    /// Where the claim lies by which it leads.
    claimed_in: Option<i64>,
    resigned: bool,
    heard_at: TimestampMs,
    confirmed: Option<TimestampMs>,
    claimed_at: Option<TimestampMs>,
}

impl Leadership {
    /// Knows nothing yet.
    pub fn new(times: &LeadershipTimes, instance: InstanceId, start: i64) -> Self {
        Self {
            me: (instance, start),
            suspect_after_ms: millis(times.suspect_after),
            self_fence_after_ms: millis(times.self_fence_after),
            epoch: NOBODY,
            leader: None,
            claimed_in: None,
            resigned: false,
            heard_at: TimestampMs(0),
            confirmed: None,
            claimed_at: None,
        }
    }

    /// A notice, in log order; `at` is when it was heard: now, or when it was appended if it is old.
    pub fn observe(&mut self, notice: &Notice, appended: Appended, at: TimestampMs) {
        let writer = (notice.instance.clone(), notice.start);
        match notice.kind {
            Kind::Claim if notice.epoch == self.epoch => {
                let epoch = appended.epoch().max(self.epoch.saturating_add(1));
                self.follow(epoch, writer, notice.sent_at, at);
                self.claimed_in = Some(appended.offset);
            }
            Kind::Heartbeat | Kind::Snapshot if self.counts_by_offsets(notice, &writer) => {
                (self.epoch, self.heard_at) = (notice.epoch, at);
            }
            Kind::Heartbeat | Kind::Snapshot if notice.epoch == self.epoch => {
                self.heard_at = at;
                self.confirm(&writer, notice.sent_at);
            }
            // The claim itself is gone from the log (it was made anew, or cut): who writes under a newer epoch leads.
            Kind::Heartbeat | Kind::Snapshot if notice.epoch > self.epoch => {
                self.follow(notice.epoch, writer, notice.sent_at, at);
            }
            Kind::Resignation if notice.epoch == self.epoch => self.resigned = true,
            Kind::Claim | Kind::Heartbeat | Kind::Snapshot | Kind::Resignation => {}
        }
    }

    /// Whether it is the leader's, and bears what the version before takes for the epoch of its claim.
    fn counts_by_offsets(&self, notice: &Notice, writer: &(InstanceId, i64)) -> bool {
        let is_leaders = self.leader.as_ref() == Some(writer);
        is_leaders && notice.epoch < self.epoch && Some(notice.epoch) == self.claimed_in
    }

    fn follow(&mut self, epoch: i64, leader: (InstanceId, i64), sent_at: TimestampMs, at: TimestampMs) {
        self.epoch = epoch;
        self.claimed_in = None;
        self.resigned = false;
        self.heard_at = at;
        self.confirmed = None;
        self.claimed_at = None;
        self.confirm(&leader, sent_at);
        self.leader = Some(leader);
    }

    fn confirm(&mut self, writer: &(InstanceId, i64), sent_at: TimestampMs) {
        if *writer == self.me {
            self.confirmed = Some(sent_at);
        }
    }

    /// The present epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Whether a notice that was observed is of the present epoch. A state of another one counts for nothing: what a leader wrote
    /// after it was deposed would take its successor's decisions back.
    pub fn is_present(&self, notice: &Notice) -> bool {
        notice.epoch == self.epoch
    }

    /// Whether this instance leads, as far as the log was read.
    pub fn leads(&self) -> bool {
        self.leader.as_ref() == Some(&self.me) && !self.resigned
    }

    /// Leads no longer, whatever the log says under this epoch: a claim makes another one.
    pub fn give_up(&mut self) {
        self.resigned = true;
    }

    /// Whether it may act on that now: its own heartbeat was read back a moment ago.
    pub fn may_act(&self, now: TimestampMs) -> bool {
        let is_fresh = |sent_at| now.since_ms(sent_at) < self.self_fence_after_ms;
        self.leads() && self.confirmed.is_some_and(is_fresh)
    }

    /// When a claim is due, if nothing is heard until then; `None` for who leads.
    pub fn claim_due(&self) -> Option<TimestampMs> {
        if self.leads() {
            return None;
        }
        let vacant = match &self.leader {
            None => true,
            // The same name, started again: the one before is gone.
            Some((name, start)) => self.resigned || (*name == self.me.0 && *start < self.me.1),
        };
        let due = if vacant {
            TimestampMs(0)
        } else {
            self.heard_at.plus_ms(self.suspect_after_ms)
        };
        let again = self
            .claimed_at
            .map_or(TimestampMs(0), |at| at.plus_ms(CLAIM_AGAIN_MS));
        Some(due.max(again))
    }

    /// A claim is being made; names the epoch it wants to follow.
    pub fn claim(&mut self, now: TimestampMs) -> i64 {
        self.claimed_at = Some(now);
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: LeadershipTimes = LeadershipTimes {
        heartbeat: Duration::from_millis(500),
        suspect_after: Duration::from_secs(2),
        self_fence_after: Duration::from_millis(1_500),
        give_up_after: Duration::from_secs(20),
        snapshot_every: Duration::from_secs(5),
        snapshot_changes: 20_000,
    };

    fn notice(who: &str, kind: Kind, epoch: i64, sent_at: i64) -> Notice {
        Notice {
            instance: who.into(),
            start: 1,
            kind,
            epoch,
            sent_at: TimestampMs(sent_at),
        }
    }

    /// The record at an offset, where clocks stand still.
    fn nth(offset: i64) -> Appended {
        Appended {
            offset,
            at: TimestampMs(0),
        }
    }

    /// What `who` thinks after reading `records` at offsets 0, 1, 2 …, each heard when it was sent.
    fn reads(who: &str, records: &[Notice]) -> Leadership {
        let mut leadership = Leadership::new(&TIMES, who.into(), 1);
        for (offset, record) in records.iter().enumerate() {
            leadership.observe(record, nth(offset as i64), record.sent_at);
        }
        leadership
    }

    #[test]
    fn the_first_of_two_claims_wins_for_every_reader() {
        let log = [
            notice("a", Kind::Claim, NOBODY, 0),
            notice("b", Kind::Claim, NOBODY, 0),
        ];
        assert!(reads("a", &log).leads());
        assert!(!reads("b", &log).leads());
        assert_eq!((reads("a", &log).epoch(), reads("b", &log).epoch()), (0, 0));
    }

    /// By reading: a scheduler topic that was made anew began with epoch 0, and every worker refused its work until it was restarted.
    #[test]
    fn a_topic_that_is_made_anew_begins_above_what_was_before_and_epochs_rise_where_clocks_do_not() {
        let claim = |epoch| notice("a", Kind::Claim, epoch, 0);
        let led_at = |records: &[(Notice, i64, i64)]| {
            let mut leadership = Leadership::new(&TIMES, "a".into(), 1);
            for (notice, offset, appended_at) in records {
                let at = TimestampMs(*appended_at);
                let appended = Appended { offset: *offset, at };
                leadership.observe(notice, appended, at);
            }
            leadership.epoch()
        };
        let before = led_at(&[(claim(NOBODY), 70_000, 1_800_000_000_000)]);
        let anew = led_at(&[(claim(NOBODY), 0, 1_800_000_000_500)]);
        assert!(anew > before);
        let set_back = led_at(&[(claim(NOBODY), 0, 5_000), (claim(5_000), 1, 3_000)]);
        assert_eq!(set_back, 5_001);
    }

    /// By reading: an upgrade had two leaders, or one that began without its predecessor's state and charged everything again.
    #[test]
    fn a_leader_of_a_version_that_counts_epochs_by_offsets_is_followed_and_its_state_taken_over() {
        const DAY: i64 = 1_800_000_000_000;
        let mut b = Leadership::new(&TIMES, "b".into(), 1);
        let mut read = |offset: i64, notice: &Notice| {
            let at = TimestampMs(DAY + notice.sent_at.0);
            b.observe(notice, Appended { offset, at }, at);
            (b.epoch(), b.is_present(notice), b.leads(), b.claim_due())
        };
        read(70, &notice("a", Kind::Claim, NOBODY, 0));
        let present = (70, true, false, Some(TimestampMs(DAY + 2_500)));
        assert_eq!(read(71, &notice("a", Kind::Heartbeat, 70, 500)), present);
        assert_eq!(read(72, &notice("a", Kind::Snapshot, 70, 500)), present);
        let (.., due) = read(73, &notice("a", Kind::Resignation, 70, 900));
        assert_eq!(due, Some(TimestampMs(0)));
        let (epoch, _, leads, _) = read(74, &notice("b", Kind::Claim, 70, 1_000));
        assert_eq!((epoch, leads), (DAY + 1_000, true));
        let (epoch, ..) = read(75, &notice("a", Kind::Heartbeat, 70, 1_500));
        assert_eq!(epoch, DAY + 1_000, "it was deposed");
    }

    #[test]
    fn an_empty_log_may_be_claimed_at_once_and_a_silent_leader_after_two_seconds() {
        assert_eq!(reads("b", &[]).claim_due(), Some(TimestampMs(0)));
        let log = [
            notice("a", Kind::Claim, NOBODY, 0),
            notice("a", Kind::Heartbeat, 0, 700),
        ];
        assert_eq!(reads("b", &log).claim_due(), Some(TimestampMs(2_700)));
        assert_eq!(reads("a", &log).claim_due(), None);
    }

    #[test]
    fn a_resignation_makes_room_at_once() {
        let log = [
            notice("a", Kind::Claim, NOBODY, 0),
            notice("a", Kind::Resignation, 0, 700),
        ];
        assert_eq!(reads("b", &log).claim_due(), Some(TimestampMs(0)));
        assert!(!reads("a", &log).leads());
    }

    #[test]
    fn who_gives_up_claims_again_under_another_epoch_and_may_not_act_before() {
        let mut a = reads("a", &[notice("a", Kind::Claim, NOBODY, 0)]);
        assert!(a.may_act(TimestampMs(100)));
        a.give_up();
        a.observe(&notice("a", Kind::Heartbeat, 0, 200), nth(1), TimestampMs(200));
        assert!(
            !a.leads() && !a.may_act(TimestampMs(200)),
            "its own heartbeat comes too late"
        );
        assert_eq!(a.claim_due(), Some(TimestampMs(0)));
        a.observe(&notice("a", Kind::Claim, 0, 300), nth(2), TimestampMs(300));
        assert_eq!((a.leads(), a.epoch()), (true, 2));
    }

    #[test]
    fn who_was_started_again_under_the_same_name_does_not_wait() {
        let log = [notice("a", Kind::Claim, NOBODY, 0)];
        let mut again = Leadership::new(&TIMES, "a".into(), 2);
        again.observe(&log[0], nth(0), TimestampMs(0));
        assert!(!again.leads());
        assert_eq!(again.claim_due(), Some(TimestampMs(0)));
    }

    #[test]
    fn a_claim_is_not_repeated_before_it_could_be_read_back() {
        let mut leadership = reads("a", &[]);
        assert_eq!(leadership.claim(TimestampMs(500)), NOBODY);
        assert_eq!(leadership.claim_due(), Some(TimestampMs(1_500)));
    }

    #[test]
    fn a_newer_epoch_deposes_and_an_older_one_is_not_heard() {
        let log = [
            notice("a", Kind::Claim, NOBODY, 0),
            notice("b", Kind::Claim, 0, 5_000),
            notice("a", Kind::Heartbeat, 0, 9_000),
        ];
        assert!(!reads("a", &log).leads());
        let b = reads("b", &log);
        assert_eq!((b.leads(), b.epoch()), (true, 1));
        assert_eq!(reads("c", &log).claim_due(), Some(TimestampMs(7_000)));
    }

    #[test]
    fn a_leader_that_does_not_read_itself_stops_before_others_suspect_it() {
        let log = [
            notice("a", Kind::Claim, NOBODY, 0),
            notice("a", Kind::Heartbeat, 0, 500),
        ];
        let a = reads("a", &log);
        let cases = [(500, true), (1_999, true), (2_000, false), (2_400, false)];
        for (now, acts) in cases {
            assert_eq!(a.may_act(TimestampMs(now)), acts, "at {now}");
        }
        assert_eq!(reads("b", &log).claim_due(), Some(TimestampMs(2_500)));
    }
}
