//! The Dockerfile and the compose files ask the executable for what it takes, and mount what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::check;
use crate::cli::Cli;
use crate::config::Config;
use crate::findings::Finding;
use crate::hosted::{Hosted, HostedService};
use crate::load::{self, Loaded};

const IMAGE: &str = "llm-gateway";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A compose file's services, with what they share put into each.
fn services(file: &str) -> BTreeMap<String, Map<String, Value>> {
    let document = relay_settings::Document::parse(&text(file)).expect(file);
    let file: Value = document
        .expanded(|_| None)
        .and_then(|document| document.read())
        .expect(file);
    let services = file["services"].as_object().expect("services");
    let whole = |service: &Value| {
        let mut whole = service["<<"].as_object().cloned().unwrap_or_default();
        whole.extend(service.as_object().cloned().unwrap_or_default());
        whole
    };
    services
        .iter()
        .map(|(name, service)| (name.clone(), whole(service)))
        .collect()
}

fn of_relay(file: &str) -> BTreeMap<String, Map<String, Value>> {
    let mut services = services(file);
    services.retain(|_, service| service["image"] == IMAGE);
    services
}

fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.map(|word| word.as_str().expect("a word")).collect()
}

fn parsed(command: &[&str]) -> Cli {
    let whole = std::iter::once(&"relay").chain(command);
    Cli::read(whole).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Files by where they are mounted.
fn mounted(service: &Map<String, Value>) -> BTreeMap<&str, PathBuf> {
    let mounts = words(&service["volumes"]).into_iter();
    let files = mounts.filter_map(|mount| mount.strip_prefix("./")?.strip_suffix(":ro")?.split_once(':'));
    files.map(|(from, to)| (to, path("deploy").join(from))).collect()
}

/// What the loader makes of the configuration that is mounted, with the paths of what is mounted beside it.
fn configured(name: &str, service: &Map<String, Value>) -> Config {
    let environment = service
        .get("environment")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let variable = |name: &str| environment.get(name)?.as_str().map(str::to_owned);
    let asked = parsed(&words(&service["command"])).command.settings().file.config;
    let file = asked
        .map(|file| file.display().to_string())
        .or_else(|| variable("RELAY_CONFIG"))
        .expect(name);
    let mounted = mounted(service);
    for (to, from) in &mounted {
        assert!(from.is_file(), "{name}: {to} is {}", from.display());
    }
    let text = std::fs::read_to_string(&mounted[file.as_str()]).expect(name);
    let mut config = load::parse_text(&text, variable).unwrap_or_else(|mistake| panic!("{file}: {mistake}"));
    let folder = Path::new(&file).parent().expect("it is absolute");
    let beside = |path: &Path| mounted[folder.join(path).to_str().expect("text")].clone();
    config.topics = config.topics.as_deref().map(beside);
    let policy = config.planner.policy.path().map(beside).expect("it names one");
    config.planner.policy = relay_planner::PolicyFile::at(policy);
    // They come with the image.
    config.workers[0].models = Some(path("models/models.yaml"));
    config
}

/// What would keep it from starting.
fn refused(config: Config, hosted: &Hosted) -> Vec<Finding> {
    check::refused(Loaded::of(config), hosted).1
}

#[test]
fn every_service_of_the_compose_file_is_a_command_with_a_configuration_that_is_good() {
    let services = of_relay("deploy/compose.yaml");
    for hosted in HostedService::ALL {
        let name = hosted.to_string();
        let service = &services[&name];
        assert_eq!(words(&service["command"]), [name.as_str()]);
        assert_eq!(
            refused(configured(&name, service), &Hosted::only(hosted)),
            [],
            "{name}"
        );
    }
    let others: Vec<&String> = services
        .keys()
        .filter(|name| HostedService::ALL.iter().all(|it| it.to_string() != **name))
        .collect();
    assert_eq!(others, ["topics"]);
    parsed(&words(&services["topics"]["command"]));
    assert_eq!(services["workers"]["scale"], 2);
}

#[test]
fn the_small_compose_file_runs_relay_up_with_a_configuration_that_is_good() {
    let services = of_relay("deploy/compose.embedded.yaml");
    assert_eq!(
        refused(configured("relay", &services["relay"]), &Hosted::all()),
        []
    );
    assert_eq!(services.len(), 1);
}

#[test]
fn a_container_is_given_longer_to_stop_than_its_drain_may_take() {
    for file in ["deploy/compose.yaml", "deploy/compose.embedded.yaml"] {
        for (name, service) in of_relay(file) {
            let patience = service["stop_grace_period"].as_str().expect("a time");
            let patience = humantime::parse_duration(patience).expect("a time");
            assert!(
                patience > configured(&name, &service).drain_timeout,
                "{file}: {name}"
            );
        }
    }
}

#[test]
fn prometheus_asks_every_service_where_it_listens_for_operators() {
    let file: Value = relay_settings::from_str(&text("deploy/compose/prometheus.yml")).expect("YAML");
    let asked = &file["scrape_configs"][0]["dns_sd_configs"][0];
    let services = of_relay("deploy/compose.yaml");
    let names: BTreeSet<&str> = words(&asked["names"]).into_iter().collect();
    let running: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(&running - &names, BTreeSet::from(["topics"]));
    for name in names {
        let ops = configured(name, &services[name]).ops;
        assert_eq!(
            (ops.host.as_str(), Value::from(ops.port)),
            ("0.0.0.0", asked["port"].clone())
        );
    }
}

#[test]
fn the_images_own_commands_are_taken() {
    let dockerfile = text("Dockerfile");
    let list = |instruction: &str| -> Value {
        let line = dockerfile.lines().find(|line| line.starts_with(instruction));
        let list = line.and_then(|line| line.split_once('[')).expect(instruction).1;
        serde_json::from_str(&format!("[{list}")).expect("a list")
    };
    let (entry, command, health) = (list("ENTRYPOINT"), list("CMD"), list("HEALTHCHECK"));
    let program = words(&entry);
    parsed(&words(&command));
    let health = words(&health);
    assert_eq!(health[..1], program);
    parsed(&health[1..]);
}
