//! Settings by which nothing could ever be done: limits of nothing, and defaults that each request without a value of its own would be
//! refused for. Pure.

use relay_settings::ByteSize;
use relay_workers::models::Models;

use crate::config::Config;
use crate::findings::Problem;
use crate::hosted::{Hosted, HostedService};

const REMEDY: &str = "use more, or leave it out for the default";

/// All of it, for the services that are to run.
pub(super) fn check(config: &Config, hosted: &Hosted) -> Vec<Problem> {
    let mut found = Vec::new();
    for (service, key, is_zero) in limits(config) {
        if hosted.has(service) && is_zero {
            found.push(Problem::new(key, "is 0: nothing would ever be answered", REMEDY));
        }
    }
    if hosted.has(HostedService::Ingress) {
        found.extend(defaults(config));
    }
    found
}

/// How much each service takes in at once, and for how long; none of these may be nothing.
fn limits(config: &Config) -> Vec<(HostedService, &'static str, bool)> {
    use HostedService::{CacheService, Ingress, Planner, Scheduler};
    let (ingress, queue, batch) = (
        &config.ingress.limits,
        &config.scheduler.limits,
        &config.ingress.batch,
    );
    let deadlines = &config.ingress.deadlines;
    let mut all = vec![
        (
            Ingress,
            "ingress.limits.max_connections",
            ingress.max_connections == 0,
        ),
        (
            Ingress,
            "ingress.limits.max_in_flight",
            ingress.max_in_flight == 0,
        ),
        (
            Ingress,
            "ingress.limits.max_in_flight_per_tenant",
            ingress.max_in_flight_per_tenant == 0,
        ),
        (Ingress, "ingress.limits.max_body", is_nothing(ingress.max_body)),
        (Ingress, "ingress.deadlines.default", deadlines.default.is_zero()),
        (Ingress, "ingress.deadlines.longest", deadlines.longest.is_zero()),
        (
            Planner,
            "planner.max_in_flight",
            config.planner.max_in_flight == 0,
        ),
        (
            CacheService,
            "cache_service.max_in_flight",
            config.cache_service.max_in_flight == 0,
        ),
        (Scheduler, "scheduler.limits.max_waiting", queue.max_waiting == 0),
        (
            Scheduler,
            "scheduler.limits.max_waiting_per_tenant",
            queue.max_waiting_per_tenant == 0,
        ),
        (
            Scheduler,
            "scheduler.limits.max_bodies",
            is_nothing(queue.max_bodies),
        ),
        (
            Scheduler,
            "scheduler.limits.max_bodies_per_tenant",
            is_nothing(queue.max_bodies_per_tenant),
        ),
    ];
    if batch.enabled {
        all.extend([
            (Ingress, "ingress.batch.max_in_flight", batch.max_in_flight == 0),
            (Ingress, "ingress.batch.waiting_limit", batch.waiting_limit == 0),
            (
                Ingress,
                "ingress.batch.waiting_size",
                is_nothing(batch.waiting_size),
            ),
            (Ingress, "ingress.batch.window", batch.window.is_zero()),
        ]);
    }
    all
}

fn is_nothing(size: ByteSize) -> bool {
    size.as_u64() == 0
}

/// What a worker would take, by its section and by its models file, which goes before it; one lane alone is good.
pub(super) fn of_worker(worker: &relay_workers::Config, key: &str, models: &Models) -> Vec<Problem> {
    let mut found = Vec::new();
    let short = models.slots.short.unwrap_or(worker.short_slots);
    let long = models.slots.long.unwrap_or(worker.long_slots);
    if (short, long) == (0, 0) {
        let problem = "and long_slots are 0 (`slots` of the models file goes before them): this worker would take nothing";
        found.push(Problem::new(format!("{key}.short_slots"), problem, REMEDY));
    }
    if is_nothing(worker.max_answer) {
        let problem = "is 0: each answer would be cut before its first byte";
        found.push(Problem::new(format!("{key}.max_answer"), problem, REMEDY));
    }
    found
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

    /// A configuration, what is said of it, and the service that it is for.
    const REFUSED: &[(&str, &str, &str)] = &[
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
            "ingress: { batch: { waiting_size: 0 } }",
            "ingress.batch.waiting_size: is 0",
            "ingress",
        ),
        (
            "ingress: { batch: { window: 0s } }",
            "ingress.batch.window: is 0",
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
            "scheduler: { limits: { max_waiting: 0 } }",
            "scheduler.limits.max_waiting: is 0",
            "scheduler",
        ),
        (
            "scheduler: { limits: { max_waiting_per_tenant: 0 } }",
            "scheduler.limits.max_waiting_per_tenant: is 0",
            "scheduler",
        ),
        (
            "scheduler: { limits: { max_bodies: 0 } }",
            "scheduler.limits.max_bodies: is 0",
            "scheduler",
        ),
        (
            "scheduler: { limits: { max_bodies_per_tenant: 0 } }",
            "scheduler.limits.max_bodies_per_tenant: is 0",
            "scheduler",
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
            "ingress: { deadlines: { longest: 0s } }",
            "ingress.deadlines.longest: is 0",
            "ingress",
        ),
    ];

    #[test]
    fn what_would_fail_or_hold_up_every_request_is_refused_by_key_where_its_service_runs() {
        for (text, said, service) in REFUSED {
            for hosted in [Hosted::all(), service.parse().expect("a service")] {
                let told = told(text, &hosted);
                assert!(told.len() == 1 && told[0].starts_with(said), "{text}: {told:?}");
            }
            let other = if *service == "planner" {
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

    #[test]
    fn a_default_deadline_above_the_longest_is_cut_to_it_and_no_mistake() {
        let text = "ingress: { deadlines: { longest: 1m } }";
        assert_eq!(told(text, &Hosted::all()), Vec::<String>::new());
    }

    #[test]
    fn a_worker_may_take_one_lane_but_not_none() {
        let wrong = |worker: &str, models: &str| {
            let config = parse_text(worker, |_| None).expect("it parses");
            let models =
                format!("{models}\nmodels: {{ m: {{ backend: openai, base_url: 'http://h/v1' }} }}\n");
            let models = Models::read(&models, "models.yaml".as_ref());
            let models = models.value.expect("it parses");
            let found = of_worker(&config.workers[0], "workers[0]", &models);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for (worker, models) in [
            ("workers: { short_slots: 0 }", ""),
            ("workers: { long_slots: 0 }", ""),
            ("workers: { short_slots: 0, long_slots: 0 }", "slots: { long: 4 }"),
        ] {
            assert_eq!(wrong(worker, models), Vec::<String>::new(), "{worker} {models}");
        }
        for (worker, models, said) in [
            (
                "workers: { short_slots: 0, long_slots: 0 }",
                "",
                "workers[0].short_slots: and long_slots are 0",
            ),
            (
                "{}",
                "slots: { short: 0, long: 0 }",
                "workers[0].short_slots: and long_slots are 0",
            ),
            ("workers: { max_answer: 0 }", "", "workers[0].max_answer: is 0"),
        ] {
            let told = wrong(worker, models);
            assert!(told.len() == 1 && told[0].starts_with(said), "{worker}: {told:?}");
        }
    }
}
