//! The files under `deploy/` and `models/` say what the code does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use relay_bus::KafkaOptions;
use relay_store::PostgresOptions;
use serde_json::Value;

use crate::check;
use crate::cli::Settings;
use crate::config::Config;
use crate::load::{self, parse_text};
use crate::seams::{BusConfig, ControlConfig, StoreConfig};

/// Below the repository's root.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn embedded() -> String {
    text("deploy/relay.embedded.yaml")
}

/// The commented half of the embedded sample.
fn production_half() -> String {
    let sample = embedded();
    let lines: Vec<&str> = sample
        .lines()
        .filter_map(|line| line.strip_prefix("#|"))
        .collect();
    lines.join("\n")
}

fn config(text: &str) -> Config {
    parse_text(text, |_| None).expect("the sample parses")
}

/// The keys that a section knows, as the refusal of a key that it does not know lists them.
fn known(mut file: Value, section: &[&str]) -> BTreeSet<String> {
    let mut place = &mut file;
    for key in section {
        place = &mut place[*key];
    }
    place["no_such_key"] = Value::Null;
    let refusal = parse_text(&file.to_string(), |_| None).expect_err("no section has this key");
    refusal.known.iter().map(|key| (*key).to_owned()).collect()
}

fn written(file: &Value, section: &[&str]) -> BTreeSet<String> {
    let mut place = file;
    for key in section {
        place = &place[*key];
    }
    let keys = place.as_object().expect("a section is a mapping").keys();
    keys.filter(|key| *key != "kind").cloned().collect()
}

fn names_every_key_of(text: &str, sections: &[&[&str]]) {
    let file: Value = relay_settings::from_str(text).expect("the sample is YAML");
    for section in sections {
        let known = known(file.clone(), section);
        assert!(!known.is_empty(), "{section:?}: its keys were not learnt");
        assert_eq!(written(&file, section), known, "{section:?}");
    }
}

#[test]
fn the_embedded_sample_holds_the_defaults() {
    assert_eq!(
        format!("{:#?}", config(&embedded())),
        format!("{:#?}", Config::default())
    );
}

#[test]
fn the_embedded_sample_names_every_key() {
    names_every_key_of(
        &embedded(),
        &[
            &[],
            &["log"],
            &["ops"],
            &["bus"],
            &["control"],
            &["ingress"],
            &["ingress", "defaults"],
            &["ingress", "limits"],
            &["ingress", "request"],
            &["ingress", "timeouts"],
            &["ingress", "deadlines"],
            &["ingress", "answers"],
            &["ingress", "cluster"],
            &["ingress", "batch"],
            &["planner"],
            &["cache_service"],
            &["scheduler"],
            &["workers"],
            &["workers", "status"],
            &["trace_sink"],
        ],
    );
}

#[test]
fn its_production_half_holds_the_defaults_and_names_every_key() {
    let production = config(&production_half());
    let redis = relay_cache_service::RedisConfig::at("redis://127.0.0.1:6379");
    let expected = Config {
        bus: BusConfig::Kafka(KafkaOptions::default()),
        control: ControlConfig::Nats(Box::default()),
        store: StoreConfig::Postgres(PostgresOptions::default()),
        cache_service: relay_cache_service::Config {
            redis: Some(redis),
            ..Default::default()
        },
        ..Config::default()
    };
    assert_eq!(format!("{production:#?}"), format!("{expected:#?}"));
    // What `Debug` does not show.
    let urls = |config: &Config| match (&config.control, &config.store, &config.cache_service.redis) {
        (ControlConfig::Nats(nats), StoreConfig::Postgres(postgres), Some(redis)) => {
            [nats.url.clone(), postgres.url.clone(), redis.url.clone()]
        }
        _ => unreachable!("it is the production half"),
    };
    assert_eq!(urls(&production), urls(&expected));
    names_every_key_of(
        &production_half(),
        &[
            &["bus"],
            &["control"],
            &["store"],
            &["cache_service", "redis"],
            &["cache_service", "redis", "breaker"],
        ],
    );
}

#[test]
fn the_production_sample_takes_its_servers_from_the_environment() {
    let sample = text("deploy/relay.production.yaml");
    let given = parse_text(&sample, |name| {
        name.starts_with("RELAY_").then(|| format!("given-{name}"))
    });
    let given = given.expect("the sample parses");
    assert!(matches!(given.bus, BusConfig::Kafka(ref kafka) if kafka.brokers == "given-RELAY_KAFKA_BROKERS"));
    assert!(
        matches!(given.control, ControlConfig::Nats(ref nats) if nats.url.expose() == "given-RELAY_NATS_URL")
    );
    assert!(
        matches!(given.store, StoreConfig::Postgres(ref postgres) if postgres.url.expose() == "given-RELAY_POSTGRES_URL")
    );
    assert_eq!(
        given.cache_service.redis.map(|redis| redis.url),
        Some("given-RELAY_REDIS_URL".into())
    );
    assert!(
        matches!(config(&sample).bus, BusConfig::Kafka(_)),
        "it needs no variable to be set"
    );
}

/// What `relay … --config` reads; tests do not run in the repository's root.
fn loaded(file: PathBuf) -> Result<Config, String> {
    let mut settings = Settings::default();
    settings.file.config = Some(file);
    load::load(&settings).map_err(|error| error.to_string())
}

#[test]
fn the_paths_of_the_production_sample_are_found_from_any_folder() {
    let config = loaded(path("deploy/relay.production.yaml")).expect("the sample is good");
    let policy = config.planner.policy.path().expect("it names one");
    assert_eq!(policy, path("deploy/policy.yaml"));
    let models = config.workers[0].models.clone().expect("it names them");
    assert!(models.is_file(), "{}", models.display());
    let data = loaded(path("deploy/relay.embedded.yaml"))
        .expect("it is good")
        .data;
    assert_eq!(data, Config::default().data, "where Relay is started");
}

#[test]
fn paths_of_kafkas_properties_are_relative_to_the_file_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("relay.yaml");
    let text = "bus:\n  kind: kafka\n  brokers: kafka:9092\n  properties:\n    ssl.ca.location: tls/ca.pem\n    \
                ssl.crl.location: /crl.pem\n    producer.ssl.ca.location: probe\n";
    std::fs::write(&file, text).expect("a file");
    let BusConfig::Kafka(kafka) = loaded(file).expect("it is good").bus else {
        unreachable!("it says kafka")
    };
    let expected = [
        "probe".into(),
        folder.path().join("tls/ca.pem"),
        "/crl.pem".into(),
    ];
    let found: Vec<PathBuf> = kafka
        .properties
        .values()
        .map(|path| path.expose().into())
        .collect();
    assert_eq!(found, expected);
}

/// A setting that is a path stands on the list of those that are put behind their file's folder.
#[test]
fn every_path_of_the_configuration_is_known_as_one() {
    let mut fields = BTreeSet::new();
    for file in [
        "relay/src/config.rs",
        "ingress/src/config.rs",
        "planner/src/config.rs",
        "cache-service/src/config.rs",
        "scheduler/src/config.rs",
        "workers/src/config.rs",
        "trace-sink/src/config.rs",
        "control/src/nats/options.rs",
    ] {
        let text = text(file);
        let field = |line: &'_ str| {
            let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
            ["PathBuf,", "Option<PathBuf>,", "PolicyFile,"]
                .contains(&kind)
                .then(|| name.to_owned())
        };
        fields.extend(text.lines().filter_map(field));
    }
    let last = |key: &&str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let known: BTreeSet<String> = load::PATHS.iter().map(last).collect();
    assert_eq!(fields, known);
    for key in load::PATHS {
        let path: Vec<&str> = key.split('.').collect();
        let (key, path) = path.split_last().expect("a key");
        let kind = path
            .first()
            .filter(|section| **section == "control")
            .map(|_| "nats");
        let text = nested(path, kind, &format!("{key}: /some/where"));
        parse_text(&text, |_| None).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
    }
}

#[test]
fn the_defaults_and_the_manifest_fit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("relay.yaml");
    let models = path("models/models.yaml").canonicalize().expect("it is there");
    std::fs::write(&file, format!("workers: {{ models: {} }}", models.display())).expect("written");
    let mut settings = Settings::default();
    settings.file.config = Some(file);
    check::start(&settings, &crate::hosted::Hosted::all()).expect("what `relay up` starts with");
    let config = Config {
        topics: Some(path("deploy/topics.yaml")),
        ..Config::default()
    };
    assert!(
        !config
            .manifest()
            .expect("the manifest parses")
            .expanded()
            .is_empty()
    );
}

#[test]
fn the_policy_and_the_models_that_come_along_are_read() {
    relay_planner::load(&relay_planner::PolicyFile::at(path("deploy/policy.yaml")))
        .expect("the policy parses");
    relay_workers::models::Models::load(&path("models/models.yaml")).expect("the models file parses");
}

/// The YAML that a page shows, block by block.
fn shown(page: &str) -> Vec<String> {
    let text = text(page);
    let blocks = text.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_files_that_the_pages_show_are_read() {
    let connect = shown("docs/connect.md");
    let [models, policy, configuration, more @ ..] = connect.as_slice() else {
        panic!("three files and more: {connect:#?}");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let reads = |policy: &str| {
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, policy).expect("written");
        relay_planner::load(&relay_planner::PolicyFile::at(file)).expect("the policy parses");
    };
    reads(policy);
    // What the page says of models that reason goes into that policy.
    let (profile, rules) = more
        .iter()
        .find_map(|block| block.strip_prefix("profiles:\n")?.split_once("rules:\n"))
        .expect("a profile and a rule");
    let model = "models:\n  reasoner:\n    - { pool: default, model: reasoner }\n";
    let policy = policy.replace("models:\n", model);
    reads(&(policy.replace("profiles:\n", &format!("profiles:\n{profile}")) + "rules:\n" + rules));
    let read = |models: &str| relay_workers::models::Models::parse(models, Path::new("models.yaml"));
    read(models).expect("the models file parses");
    let models: Vec<&String> = more.iter().filter(|block| block.starts_with("  ")).collect();
    assert_eq!(models.len(), 4, "Ollama, vLLM, OpenAI, one that reasons");
    for model in models {
        read(&format!("models:\n{model}")).unwrap_or_else(|error| panic!("{model}: {error}"));
    }
    let named = config(configuration);
    assert_eq!(named.ingress.defaults.model.as_deref(), Some("small"));
    assert!(matches!(
        config(&shown("docs/batch.md")[0]).bus,
        BusConfig::Kafka(_)
    ));
}

/// `a.b: {kind: k, rest}` as it nests; the `redis` section needs its URL.
fn nested(path: &[&str], kind: Option<&str>, entry: &str) -> String {
    path.iter()
        .rev()
        .enumerate()
        .fold(entry.to_owned(), |inside, (depth, section)| {
            let kind = kind
                .filter(|_| depth == 0)
                .map(|kind| format!("kind: {kind}, "))
                .unwrap_or_default();
            let url = if *section == "redis" { "url: r, " } else { "" };
            format!("{section}: {{ {kind}{url}{inside} }}")
        })
}

/// The keys of files that were written before values had units.
#[test]
fn an_old_key_is_refused_with_its_new_spelling_which_is_read() {
    for line in include_str!("old_keys.txt").lines() {
        let (key, value) = line.split_once(" = ").expect("key = value");
        let (key, kind) = key
            .split_once(" of ")
            .map_or((key, None), |(key, kind)| (key, Some(kind)));
        let path: Vec<&str> = key.split('.').collect();
        let (key, path) = path.split_last().expect("a key");
        let refusal = parse_text(&nested(path, kind, &format!("{key}: {value}")), |_| None);
        let problem = refusal.expect_err(line).problem;
        let now = problem.strip_prefix(&format!("`{key}` is spelled `"));
        let rest = now.unwrap_or_else(|| panic!("{line}: {problem}"));
        let (now, place) = match rest.strip_suffix("` at the top of the file now") {
            Some(now) => (now, &[][..]),
            None => (
                rest.strip_suffix("` now")
                    .unwrap_or_else(|| panic!("{line}: {problem}")),
                path,
            ),
        };
        assert!(
            now.ends_with(|c: char| c.is_ascii_alphabetic() || c == '}'),
            "{line}: {now}"
        );
        parse_text(&nested(place, kind, now), |_| None).unwrap_or_else(|mistake| panic!("{now}: {mistake}"));
    }
}

#[test]
fn a_setting_of_the_old_log_that_has_no_use_any_more_is_refused_with_a_line_that_says_so() {
    for key in ["cache_size: 4MiB", "journal_size: 256MiB", "record_syncs: false"] {
        let text = format!("bus: {{ kind: embedded, {key} }}");
        let problem = parse_text(&text, |_| None).expect_err(key).problem;
        assert!(
            problem.ends_with("has no use any more; leave it out"),
            "{problem}"
        );
    }
}
