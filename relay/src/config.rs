//! One configuration shape, composed of the services' own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use relay_bus::topics::Manifest;
use relay_settings::FileError;
use serde::Deserialize;

use crate::cli::Settings;
use crate::environment;
use crate::logging::LogConfig;
use crate::only::Only;
use crate::ops::OpsConfig;
use crate::seams::{BusConfig, ControlConfig, StoreConfig};
use crate::sizes;

/// The topics, where no file is named.
const TOPICS: &str = include_str!("../../deploy/topics.yaml");

/// Everything that can be set. Each section is documented where it is defined, and in `deploy/relay.embedded.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded log and tables.
    pub data: PathBuf,
    /// Name of this instance; no dots. Default: host and process id.
    pub instance: Option<String>,
    /// Topic manifest; without one, the manifest this build was made with.
    pub topics: Option<PathBuf>,
    /// How long streams in flight may go on after Ctrl-C.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Logs.
    pub log: LogConfig,
    /// The operators' listener.
    pub ops: OpsConfig,
    /// The log seam.
    pub bus: BusConfig,
    /// The reply and control seam.
    pub control: ControlConfig,
    /// The table seam.
    pub store: StoreConfig,
    /// Ingress.
    pub ingress: relay_ingress::Config,
    /// Planner.
    pub planner: relay_planner::Config,
    /// Cache service.
    pub cache_service: relay_cache_service::Config,
    /// Scheduler.
    pub scheduler: relay_scheduler::Config,
    /// Workers.
    pub workers: relay_workers::Config,
    /// Trace sink.
    pub trace_sink: relay_trace_sink::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("relay-data"),
            instance: None,
            topics: None,
            grace: Duration::from_secs(20),
            log: LogConfig::default(),
            ops: OpsConfig::default(),
            bus: BusConfig::default(),
            control: ControlConfig::default(),
            store: StoreConfig::default(),
            ingress: relay_ingress::Config::default(),
            planner: relay_planner::Config::default(),
            cache_service: relay_cache_service::Config::default(),
            scheduler: relay_scheduler::Config::default(),
            workers: relay_workers::Config::default(),
            trace_sink: relay_trace_sink::Config::default(),
        }
    }
}

/// Defaults, then the file, then the environment, then the flags.
pub fn load(settings: &Settings) -> anyhow::Result<Config> {
    let mut config = match &settings.config {
        Some(path) => relay_settings::read_file::<Option<Config>>(path)?.unwrap_or_default(),
        None => Config::default(),
    };
    environment::apply(&mut config, |name| std::env::var(name).ok())?;
    apply_settings(&mut config, settings);
    Ok(config)
}

/// A file's text; an empty one means the defaults.
#[cfg(test)]
pub(crate) fn parse_text(
    text: &str,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Config, relay_settings::Mistake> {
    let config: Option<Config> = relay_settings::Document::parse(text)?.expanded(var)?.read()?;
    Ok(config.unwrap_or_default())
}

/// `clap` has already put the flag before the environment variable of the same setting.
fn apply_settings(config: &mut Config, settings: &Settings) {
    let settings_of = |value: &Option<String>| value.clone();
    if let Some(host) = settings_of(&settings.host) {
        config.ingress.host = host;
    }
    if let Some(port) = settings.port {
        config.ingress.port = port;
    }
    if let Some(port) = settings.admin_port {
        config.ops.port = port;
    }
    if let Some(data) = &settings.data {
        config.data.clone_from(data);
    }
    config.instance = settings_of(&settings.instance).or(config.instance.take());
    config.log.level = settings_of(&settings.log_level).or(config.log.level.take());
    config.log.format = settings.log_format.or(config.log.format);
}

impl Config {
    /// The topic manifest.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        let Some(path) = &self.topics else {
            return Manifest::parse(TOPICS).context("the built-in topic manifest");
        };
        let manifest = Manifest::parse(&relay_settings::read_text(path)?);
        Ok(manifest.map_err(|mistake| FileError::wrong(path, mistake))?)
    }

    /// Refuses what cannot work before anything is opened.
    pub fn check(&self, only: Option<Only>) -> anyhow::Result<()> {
        let Some(only) = only else {
            return sizes::check(self, &self.manifest()?);
        };
        if matches!(self.bus, BusConfig::Embedded(_)) {
            bail!(
                "`relay {only}` needs `bus: {{kind: kafka}}`: the embedded log lives inside one process. \
                 Use `relay up`, or a configuration such as deploy/relay.production.yaml"
            );
        }
        if matches!(self.control, ControlConfig::InProcess(_)) {
            bail!(
                "`relay {only}` needs `control: {{kind: nats}}`: in-process replies cannot leave the process"
            );
        }
        sizes::check(self, &self.manifest()?)
    }
}
