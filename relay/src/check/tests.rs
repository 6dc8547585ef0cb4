//! Whole installations, each with what is said of it.

use std::fs;
use std::path::Path;

use crate::check;
use crate::cli::Settings;
use crate::findings::Findings;
use crate::hosted::Hosted;

const POLICY: &str = "name: mine\npools: [default, gpu]\nmodels:\n  m: [{ pool: default, model: a }, { pool: default, model: z }]\n\
                      profiles: { chat: { max_tokens: { max: 9 } } }\ndefaults: { tier: t, profile: chat, lane_threshold_tokens: 1, \
                      slo_ttft: 1s, deadline: 1s, cache: { exact: false, ttl: 1s } }\n";

fn of(file: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.file.config = Some(file.to_owned());
    settings
}

/// What is wrong with these files, without the name of their folder: all of it, and what keeps them from starting.
fn told(files: &[(&str, &str)]) -> [Vec<String>; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect(name);
    }
    let settings = || of(&folder.path().join("relay.yaml"));
    let within = |findings: Vec<String>| {
        let place = format!("{}/", folder.path().display());
        findings
            .into_iter()
            .map(|told| told.replace(&place, ""))
            .collect()
    };
    let all = check::files::check(crate::load::read(&settings()), &Hosted::all()).findings;
    let start = check::start(&settings(), &Hosted::all()).err();
    let start = start.map_or_else(Vec::new, |error| {
        error.downcast::<Findings>().expect("they are findings").0
    });
    [all, start].map(|findings| within(findings.iter().map(ToString::to_string).collect()))
}

fn begin(told: &[String], expected: &[&str]) {
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(
            told.starts_with(expected),
            "{expected} is not how this begins: {told}"
        );
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_each_with_file_line_column_and_key() {
    let relay = "prot: 1\nlame_duck: 30s\nbus: { kind: embedded, segment_sze: 1MiB }\nops: { port: 8000 }\n\
                 topics: topics.yaml\nplanner: { policy: policy.yaml }\nworkers: { models: models.yaml, pool: tpu }\n";
    let models = "models:\n  a: { backend: onnx, path: nowhere, thread: 1 }\n  \
                  b: { backend: openai, base_url: 'http://127.0.0.1:9/v1', upstream_model: x, api_key_env: RELAY_TEST_UNSET }\n";
    let topics =
        include_str!("../../../deploy/topics.yaml").replace("partitions: 6, retention: 3d", "partitions: 0");
    let files = [
        ("relay.yaml", relay),
        ("policy.yaml", &POLICY.replace("profile: chat", "profile: code")),
        ("models.yaml", models),
        ("topics.yaml", &topics),
    ];
    let [all, start] = told(&files);
    let expected = [
        "relay.yaml:1:1: prot: is not a key here",
        "relay.yaml:2:12: lame_duck: is 30s",
        "relay.yaml:3:24: bus.segment_sze: is not a key here",
        "relay.yaml:4:14: ops.port: 8000 is the port of the HTTP API too",
        "relay.yaml:7:39: workers.pool: `tpu` is led nowhere",
        "topics.yaml:",
        "policy.yaml:2:18: pools[1]: the policy plans into pool `gpu`, which `scheduler.pools` does not name",
        "policy.yaml:6:31: defaults.profile: there is no profile `code`",
        "models.yaml:2:38: models.a.thread: is not a key here; did you mean `threads`?",
    ];
    begin(&start, &expected);
    for told in [
        "models.yaml:2:29: models.a.path: there is no folder nowhere",
        "models.yaml:3:",
    ] {
        assert!(
            all.iter().any(|finding| finding.starts_with(told)),
            "{told}: {all:#?}"
        );
    }
    assert!(
        all.iter()
            .any(|finding| finding.contains("RELAY_TEST_UNSET is not set")),
        "{all:#?}"
    );
}

#[test]
fn a_model_that_cannot_be_used_is_a_mistake_and_keeps_nothing_from_starting() {
    let relay = "planner: { policy: policy.yaml }\nworkers: { models: models.yaml }\nscheduler: { pools: [default] }\n";
    let models = "models:\n  b: { backend: openai, base_url: 'http://127.0.0.1:9/v1', upstream_model: x, api_key_env: RELAY_TEST_UNSET }\n";
    let files = [
        ("relay.yaml", relay),
        ("policy.yaml", &POLICY.replace(", gpu]", "]")),
        ("models.yaml", models),
    ];
    let [all, start] = told(&files);
    begin(
        &all,
        &[
            "models.yaml:2:92: models.b.api_key_env: the environment variable RELAY_TEST_UNSET is not set",
            "policy.yaml:4:31: models.m[0].model: there is no model `a` in models.yaml; declare it there or use one of: b",
            "policy.yaml:4:60: models.m[1].model: there is no model `z` in models.yaml",
        ],
    );
    begin(&start, &[]);
}

#[test]
fn files_that_are_not_there_are_told_by_the_keys_that_name_them() {
    let relay = "topics: no.yaml\nplanner: { policy: no.yaml }\nworkers:\n  models: no.yaml\n";
    let [all, start] = told(&[("relay.yaml", relay)]);
    let expected = [
        "relay.yaml:1:9: topics: cannot read no.yaml",
        "relay.yaml:2:20: planner.policy: cannot read no.yaml",
        "relay.yaml:4:11: workers.models: cannot read no.yaml",
    ];
    begin(&all, &expected);
    begin(&start, &expected);
}

#[test]
fn a_configuration_that_cannot_be_read_at_all_is_told_alone() {
    begin(&told(&[])[0], &["cannot read relay.yaml: "]);
    begin(&told(&[("relay.yaml", "a: [")])[0], &["relay.yaml:1:"]);
}

#[test]
fn one_mistake_is_one_line_and_several_are_counted() {
    let one = check::start(&of(Path::new("/not/there.yaml")), &Hosted::all())
        .expect_err("it is not there")
        .to_string();
    assert!(
        one.starts_with("cannot read /not/there.yaml") && !one.contains('\n'),
        "{one}"
    );
}
