//! Settings by which nothing could ever be done: limits of nothing, and defaults that each request without a value of its own would be
//! refused for. Pure.

use std::time::Duration;

use crate::config::Config;
use crate::findings::Problem;
use crate::hosted::{Hosted, HostedService};

/// All of it, for the services that are to run.
pub(super) fn check(config: &Config, hosted: &Hosted) -> Vec<Problem> {
    let mut found = Vec::new();
    for (service, key, limit) in limits(config) {
        if hosted.has(service) && limit == 0 {
            let problem = "is 0: nothing would ever be taken in";
            found.push(Problem::new(
                key,
                problem,
                "use 1 or more, or leave it out for the default",
            ));
        }
    }
    if hosted.has(HostedService::Ingress) {
        found.extend(defaults(config));
        found.extend(deadlines(config));
    }
    found
}

/// How much each service takes in at once.
fn limits(config: &Config) -> Vec<(HostedService, String, usize)> {
    use HostedService::{CacheService, Ingress, Planner, Workers};
    let limits = &config.ingress.limits;
    let mut all = vec![
        (Ingress, "ingress.limits.max_connections", limits.max_connections),
        (Ingress, "ingress.limits.max_in_flight", limits.max_in_flight),
        (
            Ingress,
            "ingress.limits.max_in_flight_per_tenant",
            limits.max_in_flight_per_tenant,
        ),
        (
            Ingress,
            "ingress.limits.max_body",
            limits.max_body.as_u64() as usize,
        ),
        (Planner, "planner.max_in_flight", config.planner.max_in_flight),
        (
            CacheService,
            "cache_service.max_in_flight",
            config.cache_service.max_in_flight,
        ),
    ];
    let batch = &config.ingress.batch;
    if batch.enabled {
        all.push((Ingress, "ingress.batch.max_in_flight", batch.max_in_flight));
        all.push((
            Ingress,
            "ingress.batch.waiting_limit",
            batch.waiting_limit as usize,
        ));
    }
    let mut all: Vec<_> = all
        .into_iter()
        .map(|(service, key, limit)| (service, key.to_owned(), limit))
        .collect();
    for (index, worker) in config.workers.iter().enumerate() {
        let slots = [
            ("short_slots", worker.short_slots),
            ("long_slots", worker.long_slots),
        ];
        all.extend(slots.map(|(key, slots)| (Workers, format!("workers[{index}].{key}"), slots as usize)));
    }
    all
}

/// What the API would refuse, had a client said it.
fn defaults(config: &Config) -> Vec<Problem> {
    let defaults = &config.ingress.defaults;
    let mut found = Vec::new();
    if defaults.max_tokens == Some(0) {
        found.push(Problem::new(
            "ingress.defaults.max_tokens",
            "is 0: no answer has a token (MAX_LENGTH goes before it)",
            "use 1 or more, or leave it out: then the policy decides",
        ));
    }
    if let Some(temperature) = defaults.temperature
        && !(0.0..=2.0).contains(&temperature)
    {
        found.push(Problem::new(
            "ingress.defaults.temperature",
            format!("is {temperature}: no temperature that the API takes (TEMPERATURE goes before it)"),
            "use 0 to 2, or leave it out: then the policy decides",
        ));
    }
    found
}

fn deadlines(config: &Config) -> Option<Problem> {
    let deadlines = &config.ingress.deadlines;
    if deadlines.default.is_zero() {
        let problem = "is 0: a request that sets none would have expired at its arrival";
        return Some(Problem::new(
            "ingress.deadlines.default",
            problem,
            "use a time such as 2m",
        ));
    }
    if deadlines.default <= deadlines.longest {
        return None;
    }
    let [default, longest] =
        [deadlines.default, deadlines.longest].map(|time: Duration| humantime::format_duration(time));
    let problem =
        format!("is {default}, and ingress.deadlines.longest {longest}: no client may ask for as long");
    let problem = Problem::new(
        "ingress.deadlines.default",
        problem,
        "lower it, or raise `longest`",
    );
    Some(problem.beside(&["ingress.deadlines.longest"]))
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

    #[test]
    fn the_defaults_can_answer() {
        assert_eq!(told("{}", &Hosted::all()), Vec::<String>::new());
    }

    #[test]
    fn what_would_fail_or_hold_up_every_request_is_refused_by_key_where_its_service_runs() {
        for (text, said, service) in [
            (
                "ingress: { limits: { max_in_flight: 0 } }",
                "ingress.limits.max_in_flight: is 0",
                "ingress",
            ),
            (
                "ingress: { limits: { max_in_flight_per_tenant: 0 } }",
                "ingress.limits.max_in_flight_per_tenant: is 0",
                "ingress",
            ),
            (
                "ingress: { limits: { max_connections: 0 } }",
                "ingress.limits.max_connections: is 0",
                "ingress",
            ),
            (
                "ingress: { limits: { max_body: 0 } }",
                "ingress.limits.max_body: is 0",
                "ingress",
            ),
            (
                "ingress: { batch: { max_in_flight: 0 } }",
                "ingress.batch.max_in_flight: is 0",
                "ingress",
            ),
            (
                "ingress: { batch: { waiting_limit: 0 } }",
                "ingress.batch.waiting_limit: is 0",
                "ingress",
            ),
            (
                "planner: { max_in_flight: 0 }",
                "planner.max_in_flight: is 0",
                "planner",
            ),
            (
                "cache_service: { max_in_flight: 0 }",
                "cache_service.max_in_flight: is 0",
                "cache-service",
            ),
            (
                "workers: { short_slots: 0 }",
                "workers[0].short_slots: is 0",
                "workers",
            ),
            (
                "workers: { long_slots: 0 }",
                "workers[0].long_slots: is 0",
                "workers",
            ),
            (
                "ingress: { defaults: { max_tokens: 0 } }",
                "ingress.defaults.max_tokens: is 0",
                "ingress",
            ),
            (
                "ingress: { defaults: { temperature: .nan } }",
                "ingress.defaults.temperature: is NaN",
                "ingress",
            ),
            (
                "ingress: { defaults: { temperature: 2.5 } }",
                "ingress.defaults.temperature: is 2.5",
                "ingress",
            ),
            (
                "ingress: { deadlines: { default: 0s } }",
                "ingress.deadlines.default: is 0",
                "ingress",
            ),
            (
                "ingress: { deadlines: { default: 11m } }",
                "ingress.deadlines.default: is 11m, and ingress.deadlines.longest 10m",
                "ingress",
            ),
        ] {
            for hosted in [Hosted::all(), service.parse().expect("a service")] {
                let told = told(text, &hosted);
                assert!(told.len() == 1 && told[0].starts_with(said), "{text}: {told:?}");
            }
            let other = if service == "planner" {
                "scheduler"
            } else {
                "planner"
            };
            let other = other.parse().expect("a service");
            assert_eq!(told(text, &other), Vec::<String>::new(), "{text}");
        }
        let off = "ingress: { batch: { enabled: false, max_in_flight: 0 } }";
        assert_eq!(told(off, &Hosted::all()), Vec::<String>::new());
    }
}
