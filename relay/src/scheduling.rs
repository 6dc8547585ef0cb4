//! Whether the scheduler's section can work: which pools have a leader, and when one takes over from another.

use anyhow::bail;
use relay_planner::Policy;

use crate::config::Config;

/// Refuses pools that are none or twice there, and leaders that could overlap.
pub fn check(config: &relay_scheduler::Config) -> anyhow::Result<()> {
    let pools = &config.pools;
    if pools.is_empty() {
        bail!("`scheduler.pools` names no pool: nothing would ever be dispatched");
    }
    if let Some(index) = (1..pools.len()).find(|index| pools[..*index].contains(&pools[*index])) {
        bail!("`scheduler.pools` names `{}` twice", pools[index]);
    }
    let times = &config.leadership;
    if times.heartbeat >= times.self_fence_after || times.self_fence_after >= times.suspect_after {
        bail!(
            "`scheduler.leadership.heartbeat` must be less than `scheduler.leadership.self_fence_after`, and that less than \
             `scheduler.leadership.suspect_after`: a leader has to stop before a standby takes over"
        );
    }
    if times.give_up_after <= times.self_fence_after {
        bail!(
            "`scheduler.leadership.give_up_after` must be more than `scheduler.leadership.self_fence_after`: a leader stops before it \
             gives up"
        );
    }
    Ok(())
}

/// Refuses pools that are used and that this configuration, which is all there is, leads nowhere.
pub fn check_pools(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    let is_led = |pool: &str| config.scheduler.pools.iter().any(|led| led == pool);
    if let Some(pool) = policy.pools().find(|pool| !is_led(pool)) {
        bail!(
            "the policy (`planner.policy`) plans into pool `{pool}`, which `scheduler.pools` does not name: \
             what is planned into it would wait until its deadline; add it there or take it out of the policy"
        );
    }
    if let Some(pool) = config.workers.pools().find(|pool| !is_led(pool)) {
        bail!(
            "`workers.pool` is `{pool}`, which `scheduler.pools` does not name: no work would ever come to it; \
             add it there or take another pool"
        );
    }
    Ok(())
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
    use crate::hosted::HostedService;
    use crate::load::{check, parse_text};

    fn refused(text: &str, hosted: Option<HostedService>) -> String {
        let config = parse_text(text, |_| None).expect("it parses");
        check(&config, hosted).expect_err(text).to_string()
    }

    #[test]
    fn a_scheduler_that_cannot_work_is_refused_by_key() {
        let production =
            "bus: { kind: kafka, brokers: 'b:9092' }\ncontrol: { kind: nats, url: 'nats://n' }\n";
        let cases = [
            ("pools: []", "`scheduler.pools` names no pool"),
            ("pools: [a, default, a]", "`scheduler.pools` names `a` twice"),
            (
                "leadership: { heartbeat: 1500ms }",
                "`scheduler.leadership.heartbeat`",
            ),
            (
                "leadership: { self_fence_after: 2s }",
                "`scheduler.leadership.self_fence_after`",
            ),
            (
                "leadership: { suspect_after: 1s }",
                "`scheduler.leadership.suspect_after`",
            ),
        ];
        for (section, words) in cases {
            let text = format!("scheduler: {{ {section} }}\n");
            let alone = refused(&format!("{production}{text}"), Some(HostedService::Scheduler));
            for refusal in [refused(&text, None), alone] {
                assert!(refusal.contains(words), "{section}: {refusal}");
            }
        }
    }

    #[test]
    fn on_kafka_another_process_may_lead_what_this_one_does_not() {
        let text = "bus: { kind: kafka, brokers: 'b:9092' }\ncontrol: { kind: nats, url: 'nats://n' }\nscheduler: { pools: [other] }\n";
        let config = parse_text(text, |_| None).expect("it parses");
        for hosted in [None, Some(HostedService::Planner), Some(HostedService::Workers)] {
            check(&config, hosted).expect("another process may lead it");
        }
    }

    #[test]
    fn a_pool_that_is_used_and_that_no_scheduler_leads_is_refused_in_one_process() {
        for (text, words) in [
            (
                "scheduler: { pools: [other] }",
                "the policy (`planner.policy`) plans into pool `default`",
            ),
            ("workers: { pool: other }", "`workers.pool` is `other`"),
            (
                "workers: [{ pool: default }, { pool: other }]",
                "`workers.pool` is `other`",
            ),
        ] {
            let refusal = refused(text, None);
            assert!(
                refusal.contains(words) && refusal.contains("`scheduler.pools`"),
                "{refusal}"
            );
        }
    }

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
