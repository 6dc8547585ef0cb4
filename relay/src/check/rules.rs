//! What one look at the configuration shows: settings that cannot work together, or not for the service that is asked for. Pure.

use super::answerable;
use crate::config::Config;
use crate::findings::Problem;
use crate::hosted::{Hosted, HostedService};
use crate::scheduling;
use crate::seams::{BusConfig, ControlConfig};

/// All of it, for the services that are to run.
pub(super) fn check(config: &Config, hosted: &Hosted) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(drain(config));
    found.extend(instance(config));
    found.extend(answerable::check(config, hosted));
    if hosted.has(HostedService::Ingress) {
        found.extend(listeners(config));
    }
    if hosted.has(HostedService::Scheduler) {
        found.extend(scheduling::check(&config.scheduler));
    }
    if !hosted.is_all() {
        found.extend(seams(config, hosted));
    } else if matches!(config.bus, BusConfig::Embedded(_)) {
        // On Kafka another process may lead a pool that is not led here: there `/readyz` tells where none does.
        found.extend(scheduling::check_workers(config));
    }
    found
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

/// What lives inside of one process is of no use where others are needed.
fn seams(config: &Config, hosted: &Hosted) -> Vec<Problem> {
    let mut found = Vec::new();
    let command = hosted.command();
    if matches!(config.bus, BusConfig::Embedded(_)) {
        let problem =
            format!("`{command}` needs `bus: {{kind: kafka}}`: the embedded log lives inside one process");
        let remedy = "use `relay up`, or a configuration such as deploy/relay.production.yaml";
        found.push(Problem::new("bus", problem, remedy));
    }
    if matches!(config.control, ControlConfig::InProcess(_)) {
        let problem = format!(
            "`{command}` needs `control: {{kind: nats}}`: in-process replies cannot leave the process"
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

    fn told(text: &str, hosted: &Hosted) -> Vec<String> {
        let config = parse_text(text, |_| None).expect("it parses");
        let found = check(&config, hosted);
        found.iter().map(ToString::to_string).collect()
    }

    fn has(text: &str, hosted: &Hosted, words: &[&str]) {
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
        assert_eq!(told("{}", &Hosted::all()), Vec::<String>::new());
    }

    #[test]
    fn a_lame_duck_that_outlasts_its_drain_is_refused() {
        has(
            "lame_duck: 20s",
            &Hosted::all(),
            &["lame_duck: is 20s, and drain_timeout 20s", "--lame-duck"],
        );
        for good in [
            "lame_duck: 19s",
            "{ drain_timeout: 0s, lame_duck: 0s }",
            "drain_timeout: 0s",
        ] {
            assert_eq!(told(good, &Hosted::all()), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn an_instance_whose_name_is_no_name_is_refused() {
        has("instance: a.b", &Hosted::all(), &["instance: `a.b`", "letters"]);
        has("instance: ''", &Hosted::all(), &["instance: ``"]);
    }

    #[test]
    fn two_listeners_on_one_port_are_refused_before_either_is_bound() {
        has(
            "ops: { port: 8000 }",
            &Hosted::all(),
            &["ops.port: 8000", "--admin-port", "ingress.port"],
        );
        has(
            "{ ingress: { port: 1, host: 0.0.0.0 }, ops: { port: 1 } }",
            &Hosted::all(),
            &["ops.port: 1"],
        );
        for good in [
            "{ ingress: { port: 1, host: 10.0.0.1 }, ops: { port: 1 } }",
            "{ ingress: { port: 0 }, ops: { port: 0 } }",
        ] {
            assert_eq!(told(good, &Hosted::all()), Vec::<String>::new(), "{good}");
        }
        let alone = format!("{PRODUCTION}ops: {{ port: 8000 }}");
        assert_eq!(
            told(&alone, &Hosted::only(HostedService::Planner)),
            Vec::<String>::new(),
            "it has no API"
        );
    }

    #[test]
    fn one_service_alone_is_refused_on_a_seam_inside_one_process() {
        let both = told("{}", &Hosted::only(HostedService::Planner));
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
            told(PRODUCTION, &Hosted::only(HostedService::Planner)),
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
            for hosted in [Hosted::all(), Hosted::only(HostedService::Scheduler)] {
                has(&text, &hosted, &[words]);
            }
            assert_eq!(
                told(&text, &Hosted::only(HostedService::Workers)),
                Vec::<String>::new(),
                "{section}"
            );
        }
    }

    #[test]
    fn on_kafka_another_process_may_lead_what_this_one_does_not() {
        let text = format!("{PRODUCTION}scheduler: {{ pools: [other] }}\n");
        for hosted in [
            Hosted::all(),
            Hosted::only(HostedService::Planner),
            Hosted::only(HostedService::Workers),
        ] {
            assert_eq!(told(&text, &hosted), Vec::<String>::new());
        }
        has(
            "workers: { pool: other }",
            &Hosted::all(),
            &["workers[0].pool: `other`", "`scheduler.pools`"],
        );
    }
}
