//! Whether the models are there that are to run here, and the one that requests mean which name none. Apart from `load::check`, as it
//! reads what comes along with Relay.

use anyhow::bail;
use relay_planner::Policy;
use relay_workers::models::Models;

use crate::config::Config;
use crate::environment;
use crate::hosted::HostedService;
use crate::seams::BusConfig;

/// Refuses models that are not there, before anything is opened.
pub fn check(config: &Config, hosted: Option<HostedService>) -> anyhow::Result<()> {
    if matches!(hosted, Some(other) if other != HostedService::Workers) {
        return Ok(());
    }
    let mut models = Vec::new();
    for worker in &*config.workers {
        models.push((worker.pool.as_str(), worker.declared()?));
    }
    if hosted.is_some() {
        return Ok(());
    }
    let named = &config.ingress.defaults.model;
    let unnamed = relay_ingress::Config::default().defaults.model;
    // The default that nobody has set is no mistake where a policy has other models.
    match named {
        Some(model) if environment::variable("MODEL_NAME").is_some() || *named != unnamed => {
            let policy = relay_planner::load(&config.planner.policy)?;
            // On Kafka other processes may run what this one does not.
            let here = matches!(config.bus, BusConfig::Embedded(_)).then_some(&models[..]);
            default_model(model, &policy, here)
        }
        _ => Ok(()),
    }
}

/// Refuses a default model that the policy does not take, or that none of `models`, by pool, runs.
fn default_model(model: &str, policy: &Policy, models: Option<&[(&str, Models)]>) -> anyhow::Result<()> {
    let runs = |name: &str| {
        let candidates = policy.document().candidates(name).unwrap_or_default();
        let mut candidates = candidates.iter();
        models.is_none_or(|models| {
            candidates.any(|candidate| {
                let mut here = models.iter().filter(|(pool, _)| *pool == candidate.pool.as_str());
                here.any(|(_, models)| models.models.contains_key(candidate.model.as_str()))
            })
        })
    };
    if policy.models().any(|name| name == model) && runs(model) {
        return Ok(());
    }
    let problem = if policy.models().any(|name| name == model) {
        "none of whose candidates the models file declares (`workers.models`)"
    } else {
        "which the policy does not take (`planner.policy`)"
    };
    let there: Vec<&str> = policy.models().filter(|name| runs(name)).collect();
    bail!(
        "the model of requests that name none (`ingress.defaults.model`, MODEL_NAME) is `{model}`, {problem}; use one of: {}",
        there.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_default_model_that_names_nothing_is_refused_with_what_there_is() {
        let policy = Policy::parse(include_str!("../../deploy/policy.yaml")).expect("the sample");
        let text = "models: { relay-chat: { backend: onnx, path: relay-chat } }";
        let models = Models::parse(text, Path::new("models.yaml")).expect("models");
        let models = [("default", models)];
        let said = |model, models| default_model(model, &policy, models).map_err(|error| error.to_string());
        assert_eq!(said("relay-chat", Some(&models)), Ok(()));
        assert_eq!(said("relay-gpt2", None), Ok(()), "another process may run it");
        let of = "the model of requests that name none (`ingress.defaults.model`, MODEL_NAME) is";
        let unknown = format!(
            "{of} `gpt-5`, which the policy does not take (`planner.policy`); use one of: relay-chat"
        );
        assert_eq!(said("gpt-5", Some(&models)), Err(unknown));
        let absent = said("relay-gpt2", Some(&models)).expect_err("no model runs it");
        assert!(
            absent.starts_with(of) && absent.ends_with("(`workers.models`); use one of: relay-chat"),
            "{absent}"
        );
    }
}
