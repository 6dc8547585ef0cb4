//! What one look at the configuration shows: settings that cannot work together, or not for the service that is asked for. Pure.

use crate::config::Config;
use crate::findings::Problem;
use crate::hosted::HostedService;
use crate::scheduling;
use crate::seams::{BusConfig, ControlConfig};

/// All of it, for one service or for all six.
pub(super) fn check(config: &Config, hosted: Option<HostedService>) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(drain(config));
    found.extend(instance(config));
    if is_hosted(hosted, HostedService::Ingress) {
        found.extend(listeners(config));
    }
    if is_hosted(hosted, HostedService::Scheduler) {
        found.extend(scheduling::check(&config.scheduler));
    }
    match hosted {
        Some(alone) => found.extend(seams(config, alone)),
        // On Kafka another process may lead a pool that is not led here: there `/readyz` tells where none does.
        None if matches!(config.bus, BusConfig::Embedded(_)) => {
            found.extend(scheduling::check_workers(config));
        }
        None => {}
    }
    found
}

/// Whether `service` is among those that run.
pub(super) fn is_hosted(hosted: Option<HostedService>, service: HostedService) -> bool {
    hosted.is_none_or(|alone| alone == service)
}

fn drain(config: &Config) -> Option<Problem> {
    let lame_duck = config.lame_duck.filter(|lame_duck| !lame_duck.is_zero())?;
    if lame_duck < config.drain_timeout {
        return None;
    }
    let [lame_duck, timeout] = [lame_duck, config.drain_timeout].map(humantime::format_duration);
    let problem = format!(
        "is {lame_duck}, and drain_timeout {timeout}: what is in flight would be cut before the drain has begun"
    );
    let remedy = "make lame_duck (--lame-duck) shorter, or drain_timeout (--drain-timeout) longer";
    Some(Problem::new("lame_duck", problem, remedy).beside(&["drain_timeout"]))
}

fn instance(config: &Config) -> Option<Problem> {
    let instance = config.instance.as_ref()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !instance.is_empty() && instance.chars().all(fits) {
        return None;
    }
    let problem = format!("`{instance}` is no name of an instance");
    Some(Problem::new(
        "instance",
        problem,
        "use letters, digits, - and _ only",
    ))
}

/// Both listeners of a process on one port.
fn listeners(config: &Config) -> Option<Problem> {
    let (api, ops) = (&config.ingress, &config.ops);
    let everywhere = |host: &str| ["0.0.0.0", "::"].contains(&host);
    let shared = api.host == ops.host || everywhere(&api.host) || everywhere(&ops.host);
    if api.port != ops.port || api.port == 0 || !shared {
        return None;
    }
    let problem = format!(
        "{} is the port of the HTTP API too (`ingress.port`, --port, PORT)",
        ops.port
    );
    let remedy =
        "give the operators' listener another one (--admin-port, RELAY_ADMIN_PORT), or 0 for a free one";
    Some(Problem::new("ops.port", problem, remedy).beside(&["ingress.port"]))
}

/// What lives inside of one process is of no use to a service alone.
fn seams(config: &Config, alone: HostedService) -> Vec<Problem> {
    let mut found = Vec::new();
    if matches!(config.bus, BusConfig::Embedded(_)) {
        let problem = format!(
            "`relay {alone}` needs `bus: {{kind: kafka}}`: the embedded log lives inside one process"
        );
        let remedy = "use `relay up`, or a configuration such as deploy/relay.production.yaml";
        found.push(Problem::new("bus", problem, remedy));
    }
    if matches!(config.control, ControlConfig::InProcess(_)) {
        let problem = format!(
            "`relay {alone}` needs `control: {{kind: nats}}`: in-process replies cannot leave the process"
        );
        let remedy = "use `relay up`, or a configuration such as deploy/relay.production.yaml";
        found.push(Problem::new("control", problem, remedy));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::parse_text;

    fn told(text: &str, hosted: Option<HostedService>) -> Vec<String> {
        let config = parse_text(text, |_| None).expect("it parses");
        let found = check(&config, hosted);
        found.iter().map(ToString::to_string).collect()
    }

    fn has(text: &str, hosted: Option<HostedService>, words: &[&str]) {
        let told = told(text, hosted);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        for word in words {
            assert!(told[0].contains(word), "{word}: {told:?}");
        }
    }

    const PRODUCTION: &str =
        "bus: { kind: kafka, brokers: 'b:9092' }\ncontrol: { kind: nats, url: 'nats://n' }\n";

    #[test]
    fn the_defaults_are_good_for_one_process() {
        assert_eq!(told("{}", None), Vec::<String>::new());
    }

    #[test]
    fn a_lame_duck_that_outlasts_its_drain_is_refused() {
        has(
            "lame_duck: 20s",
            None,
            &["lame_duck: is 20s, and drain_timeout 20s", "--lame-duck"],
        );
        for good in [
            "lame_duck: 19s",
            "{ drain_timeout: 0s, lame_duck: 0s }",
            "drain_timeout: 0s",
        ] {
            assert_eq!(told(good, None), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn an_instance_whose_name_is_no_name_is_refused() {
        has("instance: a.b", None, &["instance: `a.b`", "letters"]);
        has("instance: ''", None, &["instance: ``"]);
    }

    #[test]
    fn two_listeners_on_one_port_are_refused_before_either_is_bound() {
        has(
            "ops: { port: 8000 }",
            None,
            &["ops.port: 8000", "--admin-port", "ingress.port"],
        );
        has(
            "{ ingress: { port: 1, host: 0.0.0.0 }, ops: { port: 1 } }",
            None,
            &["ops.port: 1"],
        );
        for good in [
            "{ ingress: { port: 1, host: 10.0.0.1 }, ops: { port: 1 } }",
            "{ ingress: { port: 0 }, ops: { port: 0 } }",
        ] {
            assert_eq!(told(good, None), Vec::<String>::new(), "{good}");
        }
        let alone = format!("{PRODUCTION}ops: {{ port: 8000 }}");
        assert_eq!(
            told(&alone, Some(HostedService::Planner)),
            Vec::<String>::new(),
            "it has no API"
        );
    }

    #[test]
    fn one_service_alone_is_refused_on_a_seam_inside_one_process() {
        let both = told("{}", Some(HostedService::Planner));
        assert_eq!(both.len(), 2, "both at once: {both:?}");
        assert!(
            both[0].contains("`relay planner` needs `bus: {kind: kafka}`"),
            "{both:?}"
        );
        assert!(
            both[1].contains("`relay planner` needs `control: {kind: nats}`"),
            "{both:?}"
        );
        assert_eq!(
            told(PRODUCTION, Some(HostedService::Planner)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_scheduler_that_cannot_work_is_refused_by_key() {
        for (section, words) in [
            ("pools: []", "scheduler.pools: names no pool"),
            (
                "pools: [default, a, default]",
                "scheduler.pools: names `default` twice",
            ),
            (
                "leadership: { heartbeat: 1500ms }",
                "scheduler.leadership.heartbeat",
            ),
            (
                "leadership: { suspect_after: 1s }",
                "scheduler.leadership.self_fence_after",
            ),
            (
                "leadership: { give_up_after: 1s }",
                "scheduler.leadership.give_up_after",
            ),
        ] {
            let text = format!("{PRODUCTION}scheduler: {{ {section} }}\n");
            for hosted in [None, Some(HostedService::Scheduler)] {
                has(&text, hosted, &[words]);
            }
            assert_eq!(
                told(&text, Some(HostedService::Workers)),
                Vec::<String>::new(),
                "{section}"
            );
        }
    }

    #[test]
    fn on_kafka_another_process_may_lead_what_this_one_does_not() {
        let text = format!("{PRODUCTION}scheduler: {{ pools: [other] }}\n");
        for hosted in [None, Some(HostedService::Planner), Some(HostedService::Workers)] {
            assert_eq!(told(&text, hosted), Vec::<String>::new());
        }
        has(
            "workers: { pool: other }",
            None,
            &["workers[0].pool: `other`", "`scheduler.pools`"],
        );
    }
}
