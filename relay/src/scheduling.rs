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

/// Refuses a policy that plans into a pool which nobody leads.
pub fn serves_policy(config: &Config, policy: &Policy) -> anyhow::Result<()> {
    for pool in policy.document().pools.iter() {
        let pool: &str = pool;
        if !config.pools.iter().any(|led| led == pool) {
            bail!(
                "the policy (`planner.policy`) plans into pool `{pool}`, which `scheduler.pools` does not name: \
                 what is planned into it would wait until its deadline; add it there or take it out of the policy"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::load::{check, parse_text};
    use crate::only::Only;

    fn refused(text: &str, only: Option<Only>) -> String {
        let config = parse_text(text, |_| None).expect("it parses");
        check(&config, only).expect_err(text).to_string()
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
            let alone = refused(&format!("{production}{text}"), Some(Only::Scheduler));
            for refusal in [refused(&text, None), alone] {
                assert!(refusal.contains(words), "{section}: {refusal}");
            }
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
