//! Whether the batch class has room for a line. Pure.
//!
//! Schedulers say absolutely what they hold, of all and of each tenant; what was admitted a moment ago is on its way to them and
//! counted here until it must have arrived. A tenant may have no more waiting in a pool than it leaves free there: one alone gets
//! half of the limit, two a third each. Each next one gets less, and a dozen leave nothing, so a tenant that has nothing there gets
//! one line in also where the limit is reached, until there is half as much again. So also in bytes, because what fills the memory of
//! a scheduler stops the reading of everybody's requests.
//!
//! Where no scheduler is heard, nothing counts the lines, so the gate is closed: they lie in the log as well as anywhere.

use std::collections::{HashMap, VecDeque};

use relay_clock::millis;
use relay_schemas::{PoolStatus, TenantId, TimestampMs};

use crate::config::BatchConfig;

/// Most pools remembered.
const MOST_POOLS: usize = 256;

/// Whose lines, and where they may go. The planner decides where they do; what is known here is in which pools their model runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Way {
    /// Whose.
    pub tenant: TenantId,
    /// The pools whose workers run their model; empty where none does: then it may be any.
    pub pools: Vec<String>,
}

impl Way {
    fn leads_to(&self, pool: &str) -> bool {
        self.pools.is_empty() || self.pools.iter().any(|known| known == pool)
    }
}

/// What is known of the batch class.
#[derive(Debug)]
pub struct Gate {
    limit: Load,
    in_transit_ms: i64,
    stale_ms: i64,
    pools: HashMap<String, Pool>,
    admitted: VecDeque<InTransit>,
}

/// Lines, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    lines: u64,
    bytes: u64,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
    }
}

#[derive(Debug)]
struct Pool {
    epoch: i64,
    all: Load,
    tenants: HashMap<TenantId, Load>,
    heard_at: TimestampMs,
}

impl Pool {
    fn is_live(&self, now: TimestampMs, stale_ms: i64) -> bool {
        now.since_ms(self.heard_at) < stale_ms
    }
}

/// A line on its way.
#[derive(Debug)]
struct InTransit {
    at: TimestampMs,
    way: Way,
    load: Load,
}

impl Gate {
    /// A closed gate.
    pub fn new(config: &BatchConfig) -> Self {
        Self {
            limit: Load {
                lines: u64::from(config.waiting_limit),
                bytes: config.waiting_size.as_usize() as u64,
            },
            in_transit_ms: millis(config.in_transit),
            stale_ms: millis(config.status_stale),
            pools: HashMap::new(),
            admitted: VecDeque::new(),
        }
    }

    /// A scheduler spoke; one that was deposed is passed over, for as long as its successor is heard. (After that the pool's
    /// topic may have been made anew, with epochs from 0.)
    pub fn on_status(&mut self, status: PoolStatus, now: TimestampMs) {
        let stale_ms = self.stale_ms;
        if self.pools.len() >= MOST_POOLS {
            self.pools.retain(|_, pool| pool.is_live(now, stale_ms));
        }
        let known = self.pools.get(&status.pool);
        let deposed = known.is_some_and(|pool| pool.epoch > status.epoch && pool.is_live(now, stale_ms));
        if deposed || (known.is_none() && self.pools.len() >= MOST_POOLS) {
            return;
        }
        let load = |lines: u32, bytes: i64| Load {
            lines: u64::from(lines),
            bytes: u64::try_from(bytes).unwrap_or(0),
        };
        let tenants = status.batch_tenants.into_iter();
        let pool = Pool {
            epoch: status.epoch,
            all: load(status.waiting_batch, status.batch_bytes),
            tenants: tenants
                .map(|share| (share.tenant, load(share.waiting, share.bytes)))
                .collect(),
            heard_at: now,
        };
        self.pools.insert(status.pool, pool);
    }

    /// Lets a line of `bytes` in if there is room wherever it may go.
    pub fn admit(&mut self, way: &Way, bytes: usize, now: TimestampMs) -> bool {
        let arrived = |line: &InTransit| now.since_ms(line.at) >= self.in_transit_ms;
        while self.admitted.front().is_some_and(arrived) {
            self.admitted.pop_front();
        }
        let live = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.is_live(now, self.stale_ms));
        let mut known = live.filter(|(name, _)| way.leads_to(name)).peekable();
        let room = known.peek().is_some() && known.all(|(name, pool)| self.has_room(name, pool, way));
        if room {
            let bytes = bytes as u64;
            self.admitted.push_back(InTransit {
                at: now,
                way: way.clone(),
                load: Load { lines: 1, bytes },
            });
        }
        room
    }

    fn has_room(&self, name: &str, pool: &Pool, way: &Way) -> bool {
        let mut all = pool.all;
        let mut own = pool.tenants.get(&way.tenant).copied().unwrap_or_default();
        for line in self.admitted.iter().filter(|line| line.way.leads_to(name)) {
            all.add(line.load);
            if line.way.tenant == way.tenant {
                own.add(line.load);
            }
        }
        let free = |limit: u64, all: u64, own: u64| {
            own < limit.saturating_sub(all) || (own == 0 && all < limit + limit / 2)
        };
        free(self.limit.lines, all.lines, own.lines) && free(self.limit.bytes, all.bytes, own.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_schemas::BatchShare;
    use relay_settings::ByteSize;

    use super::*;

    fn gate(waiting_limit: u32) -> Gate {
        Gate::new(&BatchConfig {
            waiting_limit,
            waiting_size: ByteSize::b(10_000),
            in_transit: Duration::from_millis(100),
            status_stale: Duration::from_secs(1),
            ..BatchConfig::default()
        })
    }

    fn way(tenant: &str, pools: &[&str]) -> Way {
        Way {
            tenant: tenant.into(),
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
        }
    }

    /// What a pool tells that holds so many lines of these tenants, each of so many bytes.
    fn told(pool: &str, epoch: i64, held: &[(&str, u32, i64)]) -> PoolStatus {
        let share = |(tenant, waiting, each): &(&str, u32, i64)| BatchShare {
            tenant: (*tenant).into(),
            waiting: *waiting,
            bytes: i64::from(*waiting) * each,
        };
        let batch_tenants: Vec<BatchShare> = held.iter().map(share).collect();
        PoolStatus {
            pool: pool.to_owned(),
            scheduler: "s".into(),
            epoch,
            waiting_interactive: 9_999,
            waiting_batch: batch_tenants.iter().map(|share| share.waiting).sum(),
            batch_bytes: batch_tenants.iter().map(|share| share.bytes).sum(),
            batch_tenants,
            running: 0,
            sent_at: TimestampMs(0),
        }
    }

    impl Gate {
        /// Whether a line of `tenant` for anywhere gets in.
        fn lets(&mut self, tenant: &str, at: i64) -> bool {
            self.admit(&way(tenant, &[]), 1, TimestampMs(at))
        }

        fn hears(&mut self, status: PoolStatus, at: i64) {
            self.on_status(status, TimestampMs(at));
        }
    }

    #[test]
    fn nothing_comes_in_while_no_scheduler_is_heard() {
        let mut gate = gate(3);
        assert!(!gate.lets("a", 0));
        gate.hears(told("default", 1, &[]), 0);
        assert!(!gate.admit(&way("a", &["other"]), 1, TimestampMs(0)));
        assert!(gate.lets("a", 999));
        assert!(!gate.lets("a", 1_000), "the status is stale");
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_must_have_arrived() {
        let mut gate = gate(4);
        gate.hears(told("default", 1, &[]), 0);
        assert_eq!([0; 3].map(|at| gate.lets("a", at)), [true, true, false]);
        gate.hears(told("default", 1, &[("a", 1, 1)]), 100);
        assert_eq!([100; 2].map(|at| gate.lets("a", at)), [true, false]);
    }

    #[test]
    fn a_tenant_gets_no_more_than_it_leaves_free_and_another_one_always_gets_in() {
        let mut gate = gate(1_000);
        gate.hears(told("default", 1, &[]), 0);
        let of = |gate: &mut Gate, tenant| (0..1_000).filter(|_| gate.lets(tenant, 0)).count();
        assert_eq!(of(&mut gate, "hog"), 500);
        assert_eq!(of(&mut gate, "hog"), 0);
        assert_eq!(
            [of(&mut gate, "b"), of(&mut gate, "c"), of(&mut gate, "d")],
            [250, 125, 63]
        );
        assert!(gate.lets("light", 0));
    }

    #[test]
    fn eleven_tenants_that_fill_a_pool_leave_a_line_each_to_as_many_again() {
        let mut gate = gate(2_000);
        let halves = [1_000, 500, 250, 125, 63, 31, 16, 8, 4, 2, 1];
        let names: Vec<String> = (0..halves.len()).map(|nth| format!("hog-{nth}")).collect();
        let held: Vec<_> = names
            .iter()
            .zip(halves)
            .map(|(name, lines)| (name.as_str(), lines, 1))
            .collect();
        gate.hears(told("default", 1, &held), 0);
        assert!(!gate.lets("hog-10", 1));
        assert!(gate.lets("twelfth", 1));
        assert!(!gate.lets("twelfth", 1), "one at a time");
        let in_all = (0..2_000)
            .filter(|nth| gate.lets(&format!("light-{nth}"), 1))
            .count();
        assert_eq!(in_all, 999, "half as much again");
    }

    #[test]
    fn large_lines_that_fill_a_pool_leave_one_to_a_tenant_that_has_none() {
        let mut gate = gate(1_000);
        gate.hears(told("default", 1, &[("a", 2, 4_000), ("b", 2, 1_500)]), 0);
        assert_eq!(
            [0; 2].map(|_| gate.admit(&way("light", &[]), 4_999, TimestampMs(1))),
            [true, false]
        );
        assert!(
            !gate.lets("third", 1),
            "a scheduler holds no more than half as much again"
        );
    }

    #[test]
    fn a_thousand_lines_for_a_model_that_nobody_runs_close_it_for_their_tenant_alone_and_not_where_its_others_go()
     {
        let mut gate = gate(2_000);
        gate.hears(told("a", 1, &[("hog", 1_000, 1)]), 0);
        gate.hears(told("b", 1, &[]), 0);
        assert!(!gate.admit(&way("hog", &["a"]), 1, TimestampMs(1)));
        assert!(
            !gate.lets("hog", 1),
            "where it goes is not known: it may be there"
        );
        assert!(gate.admit(&way("hog", &["b"]), 1, TimestampMs(1)));
        assert!(gate.admit(&way("light", &["a"]), 1, TimestampMs(1)));
        assert!(gate.lets("light", 1));
    }

    #[test]
    fn large_lines_of_one_tenant_fill_no_more_than_half_of_what_a_pool_may_hold_of_them() {
        let mut gate = gate(1_000);
        gate.hears(told("default", 1, &[("hog", 2, 2_500)]), 0);
        assert!(!gate.lets("hog", 1));
        assert!(gate.admit(&way("light", &[]), 4_999, TimestampMs(1)));
        assert!(!gate.lets("light", 1), "it has as much as it leaves free");
        assert!(gate.lets("third", 1));
    }

    #[test]
    fn a_deposed_scheduler_does_not_decide() {
        let mut gate = gate(4);
        gate.hears(told("b", 7, &[("a", 3, 1)]), 0);
        gate.hears(told("b", 6, &[]), 0);
        assert!(!gate.lets("a", 1));
        gate.hears(told("b", 7, &[]), 2);
        assert!(gate.lets("a", 2));
    }

    #[test]
    fn nothing_keeps_the_gate_closed_once_a_scheduler_with_room_is_heard() {
        let full = [("a", 3, 1)];
        let mut gate = gate(4);
        gate.hears(told("default", 9, &full), 0);
        gate.hears(told("default", 1, &[]), 999);
        assert!(!gate.lets("a", 999), "deposed: its word does not count");
        gate.hears(told("default", 1, &[]), 1_000);
        assert!(gate.lets("a", 1_000), "no other scheduler speaks");
        for old in 0..2 * MOST_POOLS {
            gate.hears(told(&format!("gone-{old}"), 1, &full), 2_000);
        }
        assert!(!gate.lets("a", 2_999), "they count while they are live");
        gate.hears(told("new", 1, &[]), 3_000);
        assert!(gate.lets("a", 3_000), "and make room when they are not");
    }
}
