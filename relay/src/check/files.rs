//! Reads the files of an installation and gathers all that is wrong with them, each alone and all together.

use relay_bus::topics::Manifest;
use relay_planner::policy::Document;
use relay_workers::models::{BackendSpec, Models};

use super::{answerable, models, pools, rules, servers};
use crate::config::{Config, TOPICS};
use crate::environment;
use crate::findings::{FileRead, Finding, Problem, in_order};
use crate::hosted::{Hosted, HostedService};
use crate::load::Loaded;
use crate::seams::{BusConfig, ControlConfig, LOG, StoreConfig};

const A_PATH: &str = "write a path that is there; in a file, a path is relative to that file";

/// What a look at the files comes to.
pub(super) struct Checked {
    /// As it applies; where something is mistaken, without it.
    pub config: Config,
    pub models: Vec<Models>,
    /// A line for each file that is good.
    pub good: Vec<String>,
    pub findings: Vec<Finding>,
    /// Whether the configuration could be read at all.
    pub is_read: bool,
}

/// Reads what the service, or all six, would read.
pub(super) fn check(loaded: Loaded, hosted: &Hosted) -> Checked {
    let Loaded {
        config,
        file,
        findings,
        is_read,
    } = loaded;
    let mut look = Look {
        config,
        file,
        hosted: hosted.clone(),
        good: Vec::new(),
        findings,
    };
    let mut models = Vec::new();
    if is_read {
        models = look.all();
    }
    Checked {
        config: look.config,
        models,
        good: look.good,
        findings: in_order(look.findings),
        is_read,
    }
}

struct Look {
    config: Config,
    file: Option<FileRead<Option<Config>>>,
    hosted: Hosted,
    good: Vec<String>,
    findings: Vec<Finding>,
}

impl Look {
    fn all(&mut self) -> Vec<Models> {
        let described = self.described();
        self.tell_good("configuration", self.findings.is_empty(), &described);
        self.of_configuration(rules::check(&self.config, &self.hosted));
        self.of_configuration(servers::check(&self.config, &self.hosted));
        let manifest = self.manifest();
        let policy = self
            .hosted
            .has(HostedService::Planner)
            .then(|| self.policy())
            .flatten();
        let mut models = Vec::new();
        if self.hosted.has(HostedService::Workers) {
            models = self.all_models();
        }
        if let Some(manifest) = &manifest {
            self.against_topics(manifest);
        }
        if let Some(policy) = &policy {
            self.of_policy(policy, manifest.as_ref(), &models);
        }
        models
            .into_iter()
            .filter_map(|(_, file)| file.reading.value)
            .collect()
    }

    /// Puts problems of the configuration where they stand.
    fn of_configuration(&mut self, problems: impl IntoIterator<Item = Problem>) {
        let place = |mut problem: Problem| {
            problem.key = self.spelled(&problem.key);
            match &self.file {
                Some(file) => file.at(&problem),
                None => Some(Finding::of(&problem)),
            }
        };
        let found: Vec<Finding> = problems.into_iter().filter_map(place).collect();
        self.findings.extend(found);
    }

    /// The key as the file has it: `workers` is a list, or the only one of it.
    fn spelled(&self, key: &str) -> String {
        let first = self
            .file
            .as_ref()
            .and_then(|file| file.reading.place("workers[0]"));
        if first.is_some_and(|place| place.key != "workers") {
            return key.to_owned();
        }
        key.replacen("workers[0]", "workers", 1)
    }

    fn tell_good(&mut self, what: &str, is_good: bool, line: &str) {
        if is_good {
            self.good.push(format!("{what:<13} {line}"));
        }
    }

    fn described(&self) -> String {
        let config = &self.config;
        let log = match &config.bus {
            BusConfig::Embedded(_) => format!("the log in {}", config.data.join(LOG).display()),
            BusConfig::Kafka(kafka) => format!("Kafka at {}", kafka.brokers),
        };
        let control = match &config.control {
            ControlConfig::InProcess(_) => "replies in this process",
            ControlConfig::Nats(_) => "replies by NATS",
        };
        let store = match &config.store {
            StoreConfig::Sqlite => "tables in SQLite",
            StoreConfig::Postgres(_) => "tables in Postgres",
        };
        let name = self
            .file
            .as_ref()
            .map_or("no file: the defaults", |file| file.name.as_str());
        format!("{name}: {log}, {control}, {store}")
    }

    fn manifest(&mut self) -> Option<FileRead<Manifest>> {
        let (name, text) = match &self.config.topics {
            None => ("the built-in topic manifest".to_owned(), Ok(TOPICS.to_owned())),
            Some(path) => (path.display().to_string(), relay_settings::read_text(path)),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                self.of_configuration([Problem::new("topics", error.to_string(), A_PATH)]);
                return None;
            }
        };
        let reading = Manifest::read(&text);
        let file = FileRead { name, reading };
        self.findings.extend(file.mistakes());
        if let Some(manifest) = &file.reading.value {
            let (topics, pools) = (manifest.expanded().len(), manifest.pools.join(", "));
            let line = format!("{}: {topics}, for the pools {pools}", file.name);
            self.tell_good("topics", file.is_sound(), &line);
        }
        Some(file)
    }

    fn policy(&mut self) -> Option<FileRead<Document>> {
        let file = &self.config.planner.policy;
        let name = file.name();
        let reading = match relay_planner::read_policy(file) {
            Ok(reading) => reading,
            Err(error) => {
                let problem = format!("cannot read {error}");
                self.of_configuration([Problem::new("planner.policy", problem, A_PATH)]);
                return None;
            }
        };
        let file = FileRead { name, reading };
        self.findings.extend(file.mistakes());
        if let Some(policy) = &file.reading.value {
            let models: Vec<&str> = policy.models.keys().map(|name| &**name).collect();
            let line = format!("{}: {} for {}", file.name, &*policy.name, models.join(", "));
            self.tell_good("policy", file.is_sound(), &line);
        }
        Some(file)
    }

    /// The file of each worker, by its pool; what several share is told of once.
    fn all_models(&mut self) -> Vec<(String, FileRead<Models>)> {
        let mut read: Vec<(String, FileRead<Models>)> = Vec::new();
        for (index, worker) in self.config.workers.clone().iter().enumerate() {
            let is_new = !read
                .iter()
                .any(|(_, file)| file.name == worker.models_file().display().to_string());
            let key = format!("workers[{index}]");
            let file = self.models(worker, &key, is_new);
            read.extend(file.map(|file| (worker.pool.clone(), file)));
        }
        read
    }

    fn models(
        &mut self,
        worker: &relay_workers::Config,
        key: &str,
        is_new: bool,
    ) -> Option<FileRead<Models>> {
        let name = worker.models_file().display().to_string();
        let reading = match worker.read_models() {
            Ok(reading) => reading,
            Err(error) => {
                // Where none is named, it is said already what to do.
                let remedy = worker.models.as_ref().map_or("", |_| A_PATH);
                self.of_configuration([Problem::new(format!("{key}.models"), error.to_string(), remedy)]);
                return None;
            }
        };
        let file = FileRead { name, reading };
        if let Some(models) = &file.reading.value {
            self.of_configuration(answerable::of_worker(worker, key, models));
        }
        if !is_new {
            return Some(file);
        }
        self.findings.extend(file.mistakes());
        if let Some(models) = &file.reading.value {
            let problems = models::check(models, |name| std::env::var(name).ok());
            let found: Vec<Finding> = problems.iter().filter_map(|problem| file.at(problem)).collect();
            let is_good = file.is_sound() && found.is_empty();
            self.findings.extend(found);
            self.of_configuration(models::runtime(worker, key, models));
            let named = models.models.iter().map(|(name, spec)| match spec {
                BackendSpec::Onnx(_) => format!("{name} (here)"),
                BackendSpec::Remote(_) => format!("{name} (remote)"),
            });
            let line = format!("{}: {}", file.name, named.collect::<Vec<_>>().join(", "));
            self.tell_good("models", is_good, &line);
        }
        Some(file)
    }

    /// Topics that lack something look like mistakes of the configuration, and the other way around: so only good ones are compared.
    fn against_topics(&mut self, file: &FileRead<Manifest>) {
        let Some(manifest) = file.reading.value.as_ref().filter(|_| file.is_sound()) else {
            return;
        };
        let mut problems = crate::sizes::check(&self.config, manifest);
        problems.extend(crate::deadlines::check(&self.config, manifest));
        let found: Vec<Finding> = problems.iter().filter_map(|problem| file.at(problem)).collect();
        self.findings.extend(found);
        self.of_configuration(pools::of_configuration(&self.config, manifest, &file.name));
    }

    fn of_policy(
        &mut self,
        policy: &FileRead<Document>,
        manifest: Option<&FileRead<Manifest>>,
        models: &[(String, FileRead<Models>)],
    ) {
        let Some(document) = &policy.reading.value else {
            return;
        };
        let manifest = manifest.filter(|file| file.is_sound());
        let manifest = manifest.and_then(|file| Some((file.reading.value.as_ref()?, file.name.as_str())));
        let is_known = |key| {
            self.file
                .as_ref()
                .is_none_or(|file| !file.reading.is_mistaken(key))
        };
        let mut problems = Vec::new();
        if is_known("scheduler.pools") && is_known("bus.kind") {
            problems = pools::of_policy(&self.config, document, manifest);
        }
        // On Kafka other workers of a pool may have other models.
        if matches!(self.config.bus, BusConfig::Embedded(_)) {
            for (pool, file) in models.iter().filter(|(_, file)| file.is_sound()) {
                if let Some(models) = &file.reading.value {
                    problems.extend(pools::of_models(pool, document, models, &file.name));
                }
            }
        }
        let found: Vec<Finding> = problems.iter().filter_map(|problem| policy.at(problem)).collect();
        self.findings.extend(found);
        if self.hosted.has(HostedService::Ingress) && policy.is_sound() {
            self.default_model(document, models);
        }
    }

    /// The default that nobody has set is no mistake where a policy has other models.
    fn default_model(&mut self, policy: &Document, models: &[(String, FileRead<Models>)]) {
        let named = &self.config.ingress.defaults.model;
        let unnamed = relay_ingress::Config::default().defaults.model;
        let is_set = environment::variable("MODEL_NAME").is_some() || *named != unnamed;
        let Some(model) = named.clone().filter(|_| is_set) else {
            return;
        };
        let here: Option<Vec<(&str, &Models)>> = match self.config.bus {
            BusConfig::Embedded(_) => {
                let read = models.iter();
                let read = read.map(|(pool, file)| Some((pool.as_str(), file.reading.value.as_ref()?)));
                // Where a file is mistaken, or not there, it is not known what it was to declare.
                let is_sound = models.iter().all(|(_, file)| file.is_sound());
                if !is_sound || models.len() < self.config.workers.len() {
                    return;
                }
                read.collect()
            }
            BusConfig::Kafka(_) => None,
        };
        let problem = pools::default_model(&model, policy, here.as_deref());
        self.of_configuration(problem);
    }
}
