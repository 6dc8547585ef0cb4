//! Fallback to another pool: which one is next, and what a request carries there.
//!
//! A plan names its candidates in order of preference. Their pools are tried in the order in which they are named first, each
//! once: so which pool is next follows from the plan and the pool at hand alone, and whoever decides it again decides the same.

use std::sync::Arc;

use relay_schemas::{HandOver, Plan, Planning, Ready, TimestampMs};

/// The pool after `pool` in the plan's order, if there is one.
pub fn next_pool<'a>(plan: &'a Plan, pool: &str) -> Option<&'a str> {
    let named = plan.candidates.iter().map(|candidate| candidate.pool.as_str());
    let mut pools: Vec<&str> = Vec::new();
    for name in named {
        if !pools.contains(&name) {
            pools.push(name);
        }
    }
    let mut after = pools.into_iter().skip_while(|name| *name != pool);
    after.next();
    after.next()
}

/// Attempts that a request had in the pools before.
pub fn attempts_before(planning: &Planning) -> u32 {
    planning.handovers.last().map_or(0, |last| last.attempts)
}

/// Why a pool hands a request over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// As outcomes spell it.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The request as the pool `to` gets it: with the reason in its decision trace, and the attempts so far.
pub fn handed_over(
    mut ready: Ready,
    (from, to): (&str, &str),
    reason: Reason,
    attempts: u32,
    now: TimestampMs,
) -> Ready {
    Arc::make_mut(&mut ready.planning).handovers.push(HandOver {
        from_pool: from.to_owned(),
        to_pool: to.to_owned(),
        code: reason.code,
        message: reason.message,
        attempts,
        handed_over_at: now,
    });
    ready
}

#[cfg(test)]
mod tests {
    use relay_schemas::{Candidate, samples};

    use super::*;

    fn plan(pools: &[&str]) -> Plan {
        let candidate = |pool: &&str| Candidate {
            pool: (*pool).to_owned(),
            ..samples::candidate("tiny")
        };
        Plan {
            candidates: pools.iter().map(candidate).collect(),
            ..samples::plan()
        }
    }

    #[test]
    fn pools_are_tried_in_the_order_in_which_they_are_named_first_each_once() {
        let plan = plan(&["a", "b", "a", "c", "b"]);
        for (pool, next) in [
            ("a", Some("b")),
            ("b", Some("c")),
            ("c", None),
            ("not in the plan", None),
        ] {
            assert_eq!(next_pool(&plan, pool), next, "after {pool}");
        }
    }

    #[test]
    fn another_pool_is_told_why_and_after_how_many_attempts_it_gets_a_request() {
        let ready = samples::ready();
        assert_eq!(attempts_before(&ready.planning), 0);
        let hand_over = |ready, pools, attempts| {
            let reason = Reason {
                code: "no_worker".to_owned(),
                message: "no worker runs it".to_owned(),
            };
            handed_over(ready, pools, reason, attempts, TimestampMs(7))
        };
        let once = hand_over(ready, ("a", "b"), 2);
        assert_eq!(attempts_before(&once.planning), 2);
        let told = HandOver {
            from_pool: "a".to_owned(),
            to_pool: "b".to_owned(),
            code: "no_worker".to_owned(),
            message: "no worker runs it".to_owned(),
            attempts: 2,
            handed_over_at: TimestampMs(7),
        };
        assert_eq!(once.planning.handovers, [told]);
        let twice = hand_over(once, ("b", "c"), 5);
        assert_eq!(attempts_before(&twice.planning), 5, "those of all pools before");
    }
}
