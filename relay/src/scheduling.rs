//! Whether the scheduler's section can work: which pools have a leader, and when one takes over from another.

use anyhow::bail;
use relay_planner::Policy;
use relay_scheduler::Config;

/// Refuses pools that are none or twice there, and leaders that could overlap.
pub fn check(config: &Config) -> anyhow::Result<()> {
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
    Ok(())
}

/// A policy that plans into a pool which this configuration leads nowhere: what is wrong, and how to mend it.
pub fn unled(config: &Config, policy: &Policy) -> Option<String> {
    let is_led = |pool: &str| config.pools.iter().any(|led| led == pool);
    let mut pools = policy.document().pools.iter().map(|pool| &***pool);
    let pool = pools.find(|pool| !is_led(pool))?;
    Some(format!(
        "the policy (`planner.policy`) plans into pool `{pool}`, which `scheduler.pools` does not name: \
         what is planned into it would wait until its deadline; add it there or take it out of the policy"
    ))
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
    fn on_kafka_a_pool_of_the_policy_that_is_led_nowhere_is_told_and_starts_all_the_same() {
        let text = "bus: { kind: kafka, brokers: 'b:9092' }\ncontrol: { kind: nats, url: 'nats://n' }\nscheduler: { pools: [other] }\n";
        let config = parse_text(text, |_| None).expect("it parses");
        let policy = relay_planner::load(&config.planner.policy).expect("the policy parses");
        let told = super::unled(&config.scheduler, &policy).expect("it is led nowhere");
        assert!(
            told.contains("pool `default`") && told.contains("`scheduler.pools`"),
            "{told}"
        );
        for hosted in [None, Some(HostedService::Planner), Some(HostedService::Scheduler)] {
            check(&config, hosted).expect("another process may lead it");
        }
    }

    #[test]
    fn a_pool_of_the_policy_that_nobody_leads_is_refused_in_one_process() {
        let refusal = refused("scheduler: { pools: [other] }", None);
        assert!(
            refusal.contains("pool `default`") && refusal.contains("`scheduler.pools`"),
            "{refusal}"
        );
    }
}
