//! Runs that were given back to the scheduler: they failed before a client saw anything of them, and another worker or pool may
//! do better. Pure.
//!
//! Statuses are absolute and may be lost, so each of them tells what was given back a moment ago. A scheduler that hears none of
//! them finds the lease with no worker and revokes it, as it does where a worker is lost.

use std::collections::VecDeque;

use relay_schemas::{Returned, TimestampMs};

/// How long each is told, milliseconds: as long as a scheduler takes to doubt a lease, and a takeover.
const TOLD_FOR_MS: i64 = 5_000;
/// Most of them told at once; the oldest go first.
const MOST: usize = 1_024;

/// What was given back a moment ago.
#[derive(Debug, Default)]
pub struct GivenBack(VecDeque<(TimestampMs, Returned)>);

impl GivenBack {
    /// One more.
    pub fn add(&mut self, returned: Returned, now: TimestampMs) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((now, returned));
    }

    /// What a status tells.
    pub fn told(&mut self, now: TimestampMs) -> Vec<Returned> {
        self.0.retain(|(since, _)| now.since_ms(*since) < TOLD_FOR_MS);
        self.0.iter().map(|(_, returned)| returned.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(id: &str) -> Returned {
        Returned {
            request_id: id.into(),
            attempt: 1,
            code: "backend_unavailable".to_owned(),
            message: "connection refused".to_owned(),
            begun: true,
        }
    }

    #[test]
    fn each_is_told_for_a_while() {
        let mut given_back = GivenBack::default();
        given_back.add(returned("a"), TimestampMs(0));
        given_back.add(returned("b"), TimestampMs(10));
        assert_eq!(given_back.told(TimestampMs(TOLD_FOR_MS - 1)).len(), 2);
        let left = given_back.told(TimestampMs(TOLD_FOR_MS));
        assert_eq!(left, [returned("b")]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut given_back = GivenBack::default();
        for nth in 0..=MOST {
            given_back.add(returned(&nth.to_string()), TimestampMs(0));
        }
        let told = given_back.told(TimestampMs(0));
        assert_eq!((told.len(), &told[0]), (MOST, &returned("1")));
    }
}
