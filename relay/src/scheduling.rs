//! Whether the scheduler's section can work: which pools have a leader, and when one takes over from another.

use relay_planner::Policy;

use crate::config::Config;
use crate::findings::Problem;

/// Pools that are none or twice there, and leaders that could overlap.
pub(crate) fn check(config: &relay_scheduler::Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let pools = &config.pools;
    if pools.is_empty() {
        let problem = "names no pool: nothing would ever be dispatched";
        found.push(Problem::new(
            "scheduler.pools",
            problem,
            "name one, for example [default]",
        ));
    }
    for (index, pool) in pools.iter().enumerate() {
        if pools[..index].contains(pool) {
            let problem = format!("names `{pool}` twice");
            found.push(Problem::new("scheduler.pools", problem, "remove one"));
        }
    }
    let times = &config.leadership;
    let mut must = |holds: bool, key: &str, problem: &str, why: &str| {
        if !holds {
            let key = format!("scheduler.leadership.{key}");
            found.push(Problem::new(key, problem, why).beside(&["scheduler.leadership"]));
        }
    };
    must(
        times.heartbeat < times.self_fence_after,
        "heartbeat",
        "must be less than `scheduler.leadership.self_fence_after`",
        "a leader that is heard of more rarely would stop again and again",
    );
    must(
        times.self_fence_after < times.suspect_after,
        "self_fence_after",
        "must be less than `scheduler.leadership.suspect_after`",
        "a leader has to stop before a standby takes over",
    );
    must(
        times.give_up_after > times.self_fence_after,
        "give_up_after",
        "must be more than `scheduler.leadership.self_fence_after`",
        "a leader stops before it gives up",
    );
    found
}

/// The pools whose work this process takes, where this configuration, which is all there is, leads them nowhere.
pub(crate) fn check_workers(config: &Config) -> Vec<Problem> {
    let led = &config.scheduler.pools;
    let nowhere = config.workers.iter().enumerate();
    let nowhere = nowhere.filter(|(_, worker)| !led.contains(&worker.pool));
    let problem = |(index, worker): (usize, &relay_workers::Config)| {
        let pool = &worker.pool;
        let problem = format!(
            "`{pool}` is led nowhere: `scheduler.pools` does not name it, so no work would ever come to it"
        );
        let key = format!("workers[{index}].pool");
        Problem::new(key, problem, "add it there or take another pool").beside(&["scheduler.pools"])
    };
    nowhere.map(problem).collect()
}

/// What is to be warned of where this configuration is all there is: pools that are planned into and whose work nobody takes.
pub fn warnings(config: &Config, policy: &Policy) -> Vec<String> {
    let is_worked = |pool: &&str| config.workers.pools().any(|worked| worked == *pool);
    let idle = policy.pools().filter(|pool| !is_worked(pool));
    let warning = |pool| {
        format!(
            "the policy plans into pool `{pool}`, whose work no worker takes: its requests wait {} and go on in the next pool of their \
             model, or fail; make `workers` a list that has it (`- pool: {pool}`)",
            humantime::format_duration(config.scheduler.leases.hand_over_after)
        )
    };
    idle.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use crate::load::parse_text;

    #[test]
    fn a_pool_that_is_planned_into_and_that_no_worker_takes_is_a_warning() {
        let policy = include_str!("../../deploy/policy.yaml").replace("[default]", "[default, remote]");
        let policy = relay_planner::Policy::parse(&policy).expect("valid");
        let told = |text: &str| super::warnings(&parse_text(text, |_| None).expect("it parses"), &policy);
        let one = told("scheduler: { leases: { hand_over_after: 3s } }");
        assert!(
            one[0].contains("pool `remote`, whose work no worker takes: its requests wait 3s"),
            "{one:?}"
        );
        assert_eq!(one.len(), 1);
        let both = told("workers: [{ pool: default }, { pool: remote }]");
        assert!(both.is_empty(), "{both:?}");
    }
}
