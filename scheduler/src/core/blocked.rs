//! Requests on their way into a pool whose topic is not there, each with when that is tried again.
//!
//! Bounded by what is pending: each is one of the requests that leave.

use relay_schemas::TimestampMs;

use super::effects::HandOver;

/// How long after a topic was not there it is tried again, milliseconds.
const AGAIN_AFTER_MS: i64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Blocked(Vec<(TimestampMs, HandOver)>);

impl Blocked {
    /// One more, to be tried again after a while.
    pub fn add(&mut self, handover: HandOver, now: TimestampMs) {
        self.0.push((now.plus_ms(AGAIN_AFTER_MS), handover));
    }

    /// Those that are due.
    pub fn take_due(&mut self, now: TimestampMs) -> Vec<HandOver> {
        let due = |(at, _): &mut (TimestampMs, HandOver)| *at <= now;
        self.0.extract_if(.., due).map(|(_, handover)| handover).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
