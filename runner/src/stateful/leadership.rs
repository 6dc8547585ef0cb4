//! Which instance leads: decided by the log, clocks only suspect. Pure.
//!
//! A claim names the epoch it wants to follow. The first claim in log order that names the present epoch wins, and the next epoch
//! follows from its record alone; so every reader of the log comes to the same leader. Epochs are times, not offsets: a topic that
//! was made anew begins above everything that workers have seen. A leader acts only while it reads its own
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

/// The least epoch that a claim can begin, by its record: its offset, or when it was appended, milliseconds since 1970.
pub fn epoch_of(offset: i64, appended_at: TimestampMs) -> i64 {
    offset.max(appended_at.0)
}

/// What one instance knows of the leadership.
#[derive(Debug)]
pub struct Leadership {
    me: (InstanceId, i64),
    suspect_after_ms: i64,
    self_fence_after_ms: i64,
    epoch: i64,
    leader: Option<(InstanceId, i64)>,
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
            resigned: false,
            heard_at: TimestampMs(0),
            confirmed: None,
            claimed_at: None,
        }
    }

    /// A notice, in log order. `number` is what the log itself says of it ([`epoch_of`]), `at` when it was heard: now, or when it was
    /// appended if it is old.
    pub fn observe(&mut self, notice: &Notice, number: i64, at: TimestampMs) {
        let writer = (notice.instance.clone(), notice.start);
        match notice.kind {
            Kind::Claim if notice.epoch == self.epoch => {
                let epoch = number.max(self.epoch.saturating_add(1));
                self.follow(epoch, writer, notice.sent_at, at);
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

    fn follow(&mut self, epoch: i64, leader: (InstanceId, i64), sent_at: TimestampMs, at: TimestampMs) {
        self.epoch = epoch;
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

    /// What `who` thinks after reading `records` at offsets 0, 1, 2 …, each heard when it was sent.
    fn reads(who: &str, records: &[Notice]) -> Leadership {
        let mut leadership = Leadership::new(&TIMES, who.into(), 1);
        for (offset, record) in records.iter().enumerate() {
            leadership.observe(record, offset as i64, record.sent_at);
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
                let number = epoch_of(*offset, TimestampMs(*appended_at));
                leadership.observe(notice, number, TimestampMs(*appended_at));
            }
            leadership.epoch()
        };
        let before = led_at(&[(claim(NOBODY), 70_000, 1_800_000_000_000)]);
        let anew = led_at(&[(claim(NOBODY), 0, 1_800_000_000_500)]);
        assert!(anew > before);
        let set_back = led_at(&[(claim(NOBODY), 0, 5_000), (claim(5_000), 1, 3_000)]);
        assert_eq!(set_back, 5_001);
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
        a.observe(&notice("a", Kind::Heartbeat, 0, 200), 1, TimestampMs(200));
        assert!(
            !a.leads() && !a.may_act(TimestampMs(200)),
            "its own heartbeat comes too late"
        );
        assert_eq!(a.claim_due(), Some(TimestampMs(0)));
        a.observe(&notice("a", Kind::Claim, 0, 300), 2, TimestampMs(300));
        assert_eq!((a.leads(), a.epoch()), (true, 2));
    }

    #[test]
    fn who_was_started_again_under_the_same_name_does_not_wait() {
        let log = [notice("a", Kind::Claim, NOBODY, 0)];
        let mut again = Leadership::new(&TIMES, "a".into(), 2);
        again.observe(&log[0], 0, TimestampMs(0));
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
