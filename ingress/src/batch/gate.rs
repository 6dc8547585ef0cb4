//! Whether the batch class has room. Pure.
//!
//! Schedulers say absolutely what waits; what was admitted a moment ago is on its way to them and counted here until it
//! must have arrived. Which pool a line will go to is the planner's affair, so the fullest one decides. Where no
//! scheduler is heard, nothing counts the lines, so the gate is closed: they lie in the log as well as anywhere.

use std::collections::{HashMap, VecDeque};

use relay_clock::millis;
use relay_schemas::{PoolStatus, TimestampMs};

use crate::config::BatchConfig;

/// Most pools remembered.
const MOST_POOLS: usize = 256;

/// What is known of the batch class.
#[derive(Debug)]
pub struct Gate {
    limit: usize,
    in_transit_ms: i64,
    stale_ms: i64,
    pools: HashMap<String, Pool>,
    admitted: VecDeque<TimestampMs>,
}

#[derive(Debug)]
struct Pool {
    epoch: i64,
    waiting: usize,
    heard_at: TimestampMs,
}

impl Pool {
    fn is_live(&self, now: TimestampMs, stale_ms: i64) -> bool {
        now.since_ms(self.heard_at) < stale_ms
    }
}

impl Gate {
    /// A closed gate.
    pub fn new(config: &BatchConfig) -> Self {
        Self {
            limit: config.waiting_limit as usize,
            in_transit_ms: millis(config.in_transit),
            stale_ms: millis(config.status_stale),
            pools: HashMap::new(),
            admitted: VecDeque::new(),
        }
    }

    /// A scheduler spoke; one that was deposed is passed over, for as long as its successor is heard. (After that the pool's
    /// topic may have been made anew, with epochs from 0.)
    pub fn on_status(&mut self, status: &PoolStatus, now: TimestampMs) {
        let stale_ms = self.stale_ms;
        if self.pools.len() >= MOST_POOLS {
            self.pools.retain(|_, pool| pool.is_live(now, stale_ms));
        }
        let known = self.pools.get(&status.pool);
        let deposed = known.is_some_and(|pool| pool.epoch > status.epoch && pool.is_live(now, stale_ms));
        if deposed || (known.is_none() && self.pools.len() >= MOST_POOLS) {
            return;
        }
        let pool = Pool {
            epoch: status.epoch,
            waiting: status.waiting_batch as usize,
            heard_at: now,
        };
        self.pools.insert(status.pool.clone(), pool);
    }

    /// Lets one line in if there is room.
    pub fn admit(&mut self, now: TimestampMs) -> bool {
        let arrived = |at: &TimestampMs| now.since_ms(*at) >= self.in_transit_ms;
        while self.admitted.front().is_some_and(arrived) {
            self.admitted.pop_front();
        }
        let live = self
            .pools
            .values()
            .filter(|pool| pool.is_live(now, self.stale_ms));
        let room = live
            .map(|pool| pool.waiting)
            .max()
            .is_some_and(|waiting| waiting + self.admitted.len() < self.limit);
        if room {
            self.admitted.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate() -> Gate {
        Gate::new(&BatchConfig {
            waiting_limit: 3,
            in_transit: Duration::from_millis(100),
            status_stale: Duration::from_secs(1),
            ..BatchConfig::default()
        })
    }

    fn status(pool: &str, epoch: i64, waiting_batch: u32) -> PoolStatus {
        PoolStatus {
            pool: pool.to_owned(),
            scheduler: "s".into(),
            epoch,
            waiting_interactive: 9_999,
            waiting_batch,
            running: 0,
            sent_at: TimestampMs(0),
        }
    }

    #[test]
    fn nothing_comes_in_while_no_scheduler_is_heard() {
        let mut gate = gate();
        assert!(!gate.admit(TimestampMs(0)));
        gate.on_status(&status("default", 1, 0), TimestampMs(0));
        assert!(gate.admit(TimestampMs(999)));
        assert!(!gate.admit(TimestampMs(1_000)), "the status is stale");
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_must_have_arrived() {
        let mut gate = gate();
        gate.on_status(&status("default", 1, 1), TimestampMs(0));
        let admitted: Vec<bool> = (0..3).map(|_| gate.admit(TimestampMs(0))).collect();
        assert_eq!(admitted, [true, true, false]);
        gate.on_status(&status("default", 1, 2), TimestampMs(100));
        assert!(gate.admit(TimestampMs(100)));
        assert!(!gate.admit(TimestampMs(100)));
    }

    #[test]
    fn the_fullest_pool_decides_and_a_deposed_scheduler_does_not() {
        let mut gate = gate();
        gate.on_status(&status("a", 1, 0), TimestampMs(0));
        gate.on_status(&status("b", 7, 3), TimestampMs(0));
        gate.on_status(&status("b", 6, 0), TimestampMs(0));
        assert!(!gate.admit(TimestampMs(1)));
        gate.on_status(&status("b", 7, 0), TimestampMs(2));
        assert!(gate.admit(TimestampMs(2)));
    }

    #[test]
    fn nothing_keeps_the_gate_closed_once_a_scheduler_with_room_is_heard() {
        let mut gate = gate();
        gate.on_status(&status("default", 9, 3), TimestampMs(0));
        gate.on_status(&status("default", 1, 0), TimestampMs(999));
        assert!(!gate.admit(TimestampMs(999)), "deposed: its word does not count");
        gate.on_status(&status("default", 1, 0), TimestampMs(1_000));
        assert!(gate.admit(TimestampMs(1_000)), "no other scheduler speaks");
        for old in 0..2 * MOST_POOLS {
            gate.on_status(&status(&format!("gone-{old}"), 1, 3), TimestampMs(2_000));
        }
        assert!(!gate.admit(TimestampMs(2_999)), "they count while they are live");
        gate.on_status(&status("new", 1, 0), TimestampMs(3_000));
        assert!(gate.admit(TimestampMs(3_000)), "and make room when they are not");
    }
}
