//! Whether the files agree on pools and models: what the policy plans, what the topics carry, what the scheduler leads, what a worker
//! has. Pure.

use relay_bus::topics::Manifest;
use relay_planner::policy::Document;
use relay_workers::models::Models;

use crate::config::Config;
use crate::findings::Problem;
use crate::seams::BusConfig;

const TOPICS: &str = "list it under `pools` there, then run `relay topics apply`";

/// Pools of the configuration that have no topics.
pub(super) fn of_configuration(config: &Config, manifest: &Manifest, named: &str) -> Vec<Problem> {
    let led = config.scheduler.pools.iter();
    let led = led.map(|pool| ("scheduler.pools".to_owned(), pool));
    let worked = config.workers.iter().enumerate();
    let worked = worked.map(|(index, worker)| (format!("workers[{index}].pool"), &worker.pool));
    let without = led
        .chain(worked)
        .filter(|(_, pool)| !manifest.pools.contains(pool));
    let problem = |(key, pool)| Problem::new(key, format!("`{pool}` has no topics in {named}"), TOPICS);
    without.map(problem).collect()
}

/// Pools of the policy that have no topics, or that this configuration leads nowhere where it is all there is.
pub(super) fn of_policy(
    config: &Config,
    policy: &Document,
    manifest: Option<(&Manifest, &str)>,
) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, pool) in policy.pools.iter().enumerate() {
        let key = format!("pools[{index}]");
        let pool: &str = pool;
        if let Some((manifest, named)) = manifest
            && !manifest.pools.iter().any(|has| has == pool)
        {
            let problem = format!("`{pool}` has no topics in {named}");
            found.push(Problem::new(&key, problem, TOPICS));
        }
        let is_led = config.scheduler.pools.iter().any(|led| led == pool);
        if matches!(config.bus, BusConfig::Embedded(_)) && !is_led {
            let problem = format!(
                "the policy plans into pool `{pool}`, which `scheduler.pools` does not name: what is planned into it would wait \
                 until its deadline"
            );
            found.push(Problem::new(
                key,
                problem,
                "add it there or take it out of the policy",
            ));
        }
    }
    found
}

/// Candidates in the pool that the worker's models file does not name.
pub(super) fn of_models(pool: &str, policy: &Document, models: &Models, named: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for (public, candidates) in &policy.models {
        for (index, candidate) in candidates.0.iter().enumerate() {
            if candidate.pool.as_str() == pool && !models.models.contains_key(&candidate.model) {
                let key = format!("models.{}[{index}].model", &**public);
                let problem = format!("there is no model `{}` in {named}", candidate.model);
                let known: Vec<&str> = models.models.keys().take(16).map(String::as_str).collect();
                let remedy = format!("declare it there or use one of: {}", known.join(", "));
                found.push(Problem::new(key, problem, remedy).degraded());
            }
        }
    }
    found
}

/// A default model that the policy does not take, or that none of `models`, by pool, runs; without `models`, other processes may.
pub(super) fn default_model(
    model: &str,
    policy: &Document,
    models: Option<&[(&str, &Models)]>,
) -> Option<Problem> {
    let runs = |name: &str| {
        let mut candidates = policy.candidates(name).unwrap_or_default().iter();
        models.is_none_or(|models| {
            candidates.any(|candidate| {
                let mut here = models.iter().filter(|(pool, _)| *pool == candidate.pool.as_str());
                here.any(|(_, models)| models.models.contains_key(candidate.model.as_str()))
            })
        })
    };
    let is_taken = policy.candidates(model).is_some();
    if is_taken && runs(model) {
        return None;
    }
    let why = if is_taken {
        "none of whose candidates the models file declares (`workers.models`)"
    } else {
        "which the policy does not take (`planner.policy`)"
    };
    let there: Vec<&str> = policy
        .models
        .keys()
        .map(|name| &**name)
        .filter(|name| runs(name))
        .collect();
    let problem = format!("the model of requests that name none (MODEL_NAME) is `{model}`, {why}");
    let remedy = format!("use one of: {}", there.join(", "));
    Some(Problem::new("ingress.defaults.model", problem, remedy))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::load::parse_text;

    const POLICY: &str = "name: p\npools: [default, gpu]\nmodels:\n  m:\n    - { pool: default, model: a }\n    - { pool: default, model: \
                          b }\n    - { pool: gpu, model: c }\nprofiles: { chat: { max_tokens: { max: 9 } } }\ndefaults: { tier: t, profile: \
                          chat, lane_threshold_tokens: 1, slo_ttft: 1s, deadline: 1s, cache: { exact: false, ttl: 1s } }\n";

    fn config(text: &str) -> Config {
        parse_text(text, |_| None).expect("it parses")
    }

    fn policy() -> Document {
        relay_settings::from_str(POLICY).expect("it parses")
    }

    fn manifest(pools: &str) -> Manifest {
        Manifest::parse(&format!("pools: {pools}\ntopics: []")).expect("it parses")
    }

    fn told(found: &[Problem]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pool_without_topics_is_refused_where_it_is_named() {
        let config = config("{ scheduler: { pools: [default, gpu, tpu] }, workers: [{ pool: npu }] }");
        let manifest = manifest("[default]");
        let found = of_configuration(&config, &manifest, "topics.yaml");
        assert_eq!(
            told(&found),
            [
                format!("scheduler.pools: `gpu` has no topics in topics.yaml; {TOPICS}"),
                format!("scheduler.pools: `tpu` has no topics in topics.yaml; {TOPICS}"),
                format!("workers[0].pool: `npu` has no topics in topics.yaml; {TOPICS}"),
            ]
        );
        let found = of_policy(&config, &policy(), Some((&manifest, "topics.yaml")));
        assert_eq!(
            told(&found),
            [format!("pools[1]: `gpu` has no topics in topics.yaml; {TOPICS}")]
        );
    }

    #[test]
    fn a_pool_of_the_policy_that_nobody_leads_is_refused_in_one_process_and_not_on_kafka() {
        let found = of_policy(&config("{}"), &policy(), None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("pool `gpu`") && found[0].what.contains("`scheduler.pools`"));
        let kafka = config("bus: { kind: kafka }");
        assert_eq!(of_policy(&kafka, &policy(), None), []);
    }

    #[test]
    fn a_candidate_that_no_models_file_names_is_told_and_keeps_nothing_from_starting() {
        let models = "models: { a: { backend: onnx, path: a } }";
        let models = Models::parse(models, Path::new("models.yaml")).expect("it parses");
        let found = of_models("default", &policy(), &models, "models.yaml");
        assert_eq!(
            told(&found),
            ["models.m[1].model: there is no model `b` in models.yaml; declare it there or use one of: a"],
            "`c` is another pool's"
        );
        assert_eq!(found[0].grade, crate::findings::Grade::Degraded);
    }

    #[test]
    fn a_default_model_that_names_nothing_is_refused_with_what_there_is() {
        let policy: Document =
            relay_settings::from_str(include_str!("../../../deploy/policy.yaml")).expect("the sample");
        let text = "models: { relay-chat: { backend: onnx, path: relay-chat } }";
        let models = Models::parse(text, Path::new("models.yaml")).expect("models");
        let models = [("default", &models)];
        let said = |model, models| default_model(model, &policy, models).map(|problem| problem.to_string());
        assert_eq!(said("relay-chat", Some(&models)), None);
        assert_eq!(said("relay-gpt2", None), None, "another process may run it");
        let of = "ingress.defaults.model: the model of requests that name none (MODEL_NAME) is";
        let unknown = format!(
            "{of} `gpt-5`, which the policy does not take (`planner.policy`); use one of: relay-chat"
        );
        assert_eq!(said("gpt-5", Some(&models)), Some(unknown));
        let absent = said("relay-gpt2", Some(&models)).expect("no model runs it");
        assert!(
            absent.starts_with(of) && absent.ends_with("(`workers.models`); use one of: relay-chat"),
            "{absent}"
        );
    }
}
