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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Spec;

    #[test]
    fn what_a_pool_did_not_take_is_tried_again_after_a_second_and_once() {
        let handover = HandOver {
            ready: Spec::new("a", "t").ready(),
            pool: "spare".to_owned(),
            trace: None,
        };
        let mut blocked = Blocked::default();
        assert!(blocked.is_empty());
        blocked.add(handover, TimestampMs(5));
        assert!(!blocked.is_empty());
        let tried = [1_004, 1_005, 1_006].map(|ms| blocked.take_due(TimestampMs(ms)).len());
        assert_eq!(tried, [0, 1, 0]);
        assert!(blocked.is_empty());
    }
}
