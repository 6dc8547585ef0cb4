//! How the wall clock was set while this process ran, and so when, by the clock that never is, something was stamped. Pure.
//!
//! A stamp says nothing of the setting under which it was made. One that two settings could have made counts as made under the
//! later one, and none lies ahead: so a deadline may come late by a step, never early.

use std::collections::VecDeque;

use relay_schemas::TimestampMs;

/// A wall clock that was moved by less between two looks is only being adjusted.
const STEP_MS: i64 = 100;
/// How far another machine's clock may be ahead: what lies further ahead was stamped before the clock was set back.
const SKEW_MS: i64 = 60_000;
/// Most settings remembered: what was stamped under older ones has long ended.
const MOST: usize = 8;

/// See the module. Cheap to clone while nobody sets the clock.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// How far the wall clock was ahead of the steady one before the first step.
    first_ahead_ms: i64,
    /// The steps since then, the newest last.
    steps: VecDeque<Setting>,
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    /// What the wall clock said when the step was noticed.
    from: TimestampMs,
    ahead_ms: i64,
}

impl Timeline {
    /// Begins where the two clocks stand now.
    pub fn begin(wall: TimestampMs, steady: TimestampMs) -> Self {
        Self {
            first_ahead_ms: wall.since_ms(steady),
            ..Self::default()
        }
    }

    /// Compares the two clocks: by how many milliseconds the wall clock was set since the last look, forward above zero.
    pub fn look(&mut self, wall: TimestampMs, steady: TimestampMs) -> i64 {
        let ahead_ms = wall.since_ms(steady);
        let present = match self.steps.back_mut() {
            Some(setting) => &mut setting.ahead_ms,
            None => &mut self.first_ahead_ms,
        };
        let step = ahead_ms.saturating_sub(*present);
        if step.abs() < STEP_MS {
            *present = ahead_ms;
            return 0;
        }
        if self.steps.len() == MOST
            && let Some(oldest) = self.steps.pop_front()
        {
            self.first_ahead_ms = oldest.ahead_ms;
        }
        self.steps.push_back(Setting { from: wall, ahead_ms });
        self.total += 1;
        step
    }

    /// How many steps were noticed.
    pub fn steps(&self) -> u64 {
        self.total
    }

    /// What the wall clock says when the steady one says `steady`, as of the last look.
    pub fn wall(&self, steady: TimestampMs) -> TimestampMs {
        let present = self.steps.back().map_or(self.first_ahead_ms, |it| it.ahead_ms);
        steady.plus_ms(present)
    }

    /// When `stamp` was made by the steady clock, as it is `now` there.
    pub fn steady_of(&self, stamp: TimestampMs, now: TimestampMs) -> TimestampMs {
        let latest = now.plus_ms(SKEW_MS);
        let may_be = |setting: &&Setting| {
            setting.from <= stamp && stamp.plus_ms(setting.ahead_ms.saturating_neg()) <= latest
        };
        let setting = self.steps.iter().rev().find(may_be);
        let ahead_ms = setting.map_or(self.first_ahead_ms, |setting| setting.ahead_ms);
        stamp.plus_ms(ahead_ms.saturating_neg()).min(now)
    }

    /// What the wall clock that made `stamp` would say at `now`, if it had not been set since.
    pub fn now_for(&self, stamp: TimestampMs, now: TimestampMs) -> TimestampMs {
        stamp.plus_ms(now.since_ms(self.steady_of(stamp, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> TimestampMs {
        TimestampMs(ms)
    }

    #[test]
    fn where_nobody_sets_the_clock_the_two_say_the_same() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.look(at(5_000), at(5_000)), 0);
        assert_eq!(timeline.look(at(9_040), at(9_000)), 0, "an adjustment");
        assert_eq!(timeline.wall(at(9_100)), at(9_140));
        assert_eq!(timeline.steady_of(at(9_140), at(10_000)), at(9_100));
        assert_eq!(timeline.steps(), 0);
    }

    #[test]
    fn each_step_is_told_once_and_stamps_from_before_it_keep_their_age() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.look(at(13_000), at(10_000)), 3_000);
        assert_eq!(timeline.look(at(13_010), at(10_010)), 0);
        assert_eq!(timeline.steady_of(at(9_000), at(10_010)), at(9_000), "before it");
        assert_eq!(timeline.steady_of(at(13_005), at(10_010)), at(10_005), "after it");
        assert_eq!(timeline.look(at(-77_000), at(20_000)), -100_000);
        assert_eq!(timeline.steady_of(at(-76_000), at(21_500)), at(21_000));
        assert_eq!(
            timeline.steady_of(at(22_000), at(21_500)),
            at(19_000),
            "far ahead: before it"
        );
        assert_eq!(
            timeline.steady_of(at(-75_000), at(21_500)),
            at(21_500),
            "another machine's"
        );
        assert_eq!(timeline.wall(at(21_000)), at(-76_000));
    }

    #[test]
    fn what_two_settings_could_have_stamped_counts_as_stamped_later_and_nothing_lies_ahead() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.look(at(7_000), at(10_000)), -3_000);
        assert_eq!(timeline.steady_of(at(8_000), at(12_000)), at(11_000));
        assert_eq!(timeline.steady_of(at(8_000), at(10_000)), at(10_000));
    }

    #[test]
    fn only_the_newest_settings_are_remembered() {
        let mut timeline = Timeline::default();
        for nth in 1..=20 {
            timeline.look(at(nth * 2_000), at(nth * 1_000));
        }
        assert_eq!((timeline.steps(), timeline.steps.len()), (20, MOST));
        assert_eq!(timeline.steady_of(at(40_000), at(20_000)), at(20_000));
    }
}
