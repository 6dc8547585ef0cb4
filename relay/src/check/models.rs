//! Whether the models can be used as they are declared: without loading one.

use relay_workers::models::{BackendSpec, Models, OnnxSpec, RemoteSpec};

use crate::findings::Problem;

/// The models that could not be used. A worker goes on without them.
pub(super) fn check(models: &Models, var: impl Fn(&str) -> Option<String>) -> Vec<Problem> {
    let one = |(name, spec): (&String, &BackendSpec)| match spec {
        BackendSpec::Onnx(spec) => local(name, spec).into_iter().collect(),
        BackendSpec::Remote(spec) => remote(name, spec, &var),
    };
    let found = models.models.iter().flat_map(one);
    found.map(Problem::degraded).collect::<Vec<_>>()
}

/// Where models run here and there is nothing to run them.
pub(super) fn runtime(worker: &relay_workers::Config, key: &str, models: &Models) -> Option<Problem> {
    let mut specs = models.models.values();
    let is_needed = specs.any(|spec| matches!(spec, BackendSpec::Onnx(_)));
    let library = worker.library();
    if !is_needed || library.is_file() {
        return None;
    }
    let problem = format!("ONNX Runtime's library is not there: {}", library.display());
    let remedy = "name it here or by RELAY_ONNXRUNTIME; a release has it in lib/, and `make tools` brings it to a checkout";
    Some(Problem::new(format!("{key}.onnxruntime"), problem, remedy).degraded())
}

fn local(name: &str, spec: &OnnxSpec) -> Option<Problem> {
    if spec.path.is_dir() {
        return None;
    }
    let key = format!("models.{name}.path");
    let problem = format!("there is no folder {}", spec.path.display());
    let remedy =
        "name one in Hugging Face's layout, relative to this file; models/README.md says how to make one";
    Some(Problem::new(key, problem, remedy))
}

fn remote(name: &str, spec: &RemoteSpec, var: &impl Fn(&str) -> Option<String>) -> Vec<Problem> {
    let key = |key: &str| format!("models.{name}.{key}");
    let mut found = Vec::new();
    if let Some(named) = &spec.api_key_env
        && var(named).is_none_or(|value| value.trim().is_empty())
    {
        let problem = format!("the environment variable {named} is not set");
        found.push(Problem::new(
            key("api_key_env"),
            problem,
            "set it to the endpoint's key",
        ));
    }
    if let Some(file) = &spec.root_certificates
        && let Err(wrong) = relay_settings::read_authorities(file)
    {
        let wrong = wrong.trim_start_matches("root_certificates: ");
        found.push(Problem::new(
            key("root_certificates"),
            wrong,
            "name a PEM file that is there",
        ));
    }
    if let Err(wrong) = spec.proxy(var) {
        let remedy = "correct the variable, or name the endpoint's host in NO_PROXY";
        found.push(Problem::new(key("base_url"), wrong, remedy));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_folder_that_is_not_there_a_key_that_is_not_set_and_a_proxy_that_is_none_are_told_by_model() {
        let text = "models:\n  a: {backend: onnx, path: not-there}\n  b: {backend: onnx, path: .}\n  \
                    c: {backend: openai, base_url: 'http://x/v1', upstream_model: x, api_key_env: NO_KEY, root_certificates: no.pem}\n  \
                    d: {backend: openai, base_url: 'http://x/v1', upstream_model: x, api_key_env: KEY}\n  \
                    e: {backend: openai, base_url: 'http://x/v1', upstream_model: x, api_key_env: BLANK}\n  \
                    f: {backend: openai, base_url: 'https://127.0.0.1/v1', upstream_model: x}\n  \
                    g: {backend: openai, base_url: 'https://x/v1', upstream_model: x}\n";
        let folder = tempfile::tempdir().expect("a folder");
        let models = Models::parse(text, &folder.path().join("models.yaml")).expect("it parses");
        let var = |name: &str| match name {
            "KEY" => Some("hunter2".to_owned()),
            "BLANK" => Some(" \t".to_owned()),
            "HTTPS_PROXY" => Some("socks5://hunter2".to_owned()),
            _ => None,
        };
        let keys: Vec<String> = check(&models, var)
            .into_iter()
            .map(|problem| problem.key)
            .collect();
        assert_eq!(
            keys,
            [
                "models.a.path",
                "models.c.api_key_env",
                "models.c.root_certificates",
                "models.e.api_key_env",
                "models.g.base_url"
            ]
        );
    }

    #[test]
    fn without_onnx_runtime_only_who_has_models_for_it_is_told() {
        let worker = relay_workers::Config {
            onnxruntime: Some("/not/there.so".into()),
            ..relay_workers::Config::default()
        };
        let models = |text: &str| Models::parse(text, Path::new("models.yaml")).expect("it parses");
        let remote = models("models:\n  c: {backend: openai, base_url: 'http://x/v1', upstream_model: x}\n");
        assert_eq!(runtime(&worker, "workers[0]", &remote), None);
        if std::env::var_os("RELAY_ONNXRUNTIME").is_none() {
            let told = runtime(
                &worker,
                "workers[0]",
                &models("models:\n  a: {backend: onnx, path: a}\n"),
            );
            assert!(told.expect("it is needed").what.contains("/not/there.so"));
        }
    }
}
