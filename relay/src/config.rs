//! One configuration shape, composed of the services' own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use relay_bus::topics::Manifest;
use relay_runner::WatchdogTimes;
use relay_settings::FileError;
use serde::Deserialize;

use crate::hosted::Hosted;
use crate::logging::LogConfig;
use crate::ops::OpsConfig;
use crate::seams::{BusConfig, ControlConfig, StoreConfig};

/// The topics, where no file is named.
pub(crate) const TOPICS: &str = include_str!("../../deploy/topics.yaml");

/// Long enough for load balancers to look at `/readyz` again.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// The data folder, where none is named.
const DATA: &str = "relay-data";

/// Everything that can be set. Each section is documented where it is defined, and in `deploy/relay.embedded.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded log and tables; without one, `relay-data` in the working folder.
    #[serde(deserialize_with = "data_folder")]
    pub data: PathBuf,
    /// Name of this instance; no dots. Default: host and process id.
    pub instance: Option<String>,
    /// Topic manifest; without one, the manifest this build was made with.
    pub topics: Option<PathBuf>,
    /// From Ctrl-C until what is still in flight is cut, and told so.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Of these, how long the API goes on as ever while `/readyz` says 503. Default: 0 s where all services are in one process, 5 s for
    /// fewer (a quarter of `drain_timeout`, if that is less).
    #[serde(with = "humantime_serde")]
    pub lame_duck: Option<Duration>,
    /// What becomes of a part that makes no progress.
    pub watchdog: WatchdogTimes,
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
    /// Workers: one, or a list of one for each pool.
    pub workers: relay_workers::Workers,
    /// Trace sink.
    pub trace_sink: relay_trace_sink::Config,
}

fn data_folder<'de, D: serde::Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let named: Option<PathBuf> = Deserialize::deserialize(from)?;
    Ok(named.unwrap_or_else(|| PathBuf::from(DATA)))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from(DATA),
            instance: None,
            topics: None,
            drain_timeout: Duration::from_secs(20),
            lame_duck: None,
            watchdog: WatchdogTimes::default(),
            log: LogConfig::default(),
            ops: OpsConfig::default(),
            bus: BusConfig::default(),
            control: ControlConfig::default(),
            store: StoreConfig::default(),
            ingress: relay_ingress::Config::default(),
            planner: relay_planner::Config::default(),
            cache_service: relay_cache_service::Config::default(),
            scheduler: relay_scheduler::Config::default(),
            workers: relay_workers::Workers::default(),
            trace_sink: relay_trace_sink::Config::default(),
        }
    }
}

impl Config {
    /// How long this process is a lame duck: not at all, unless it is told so, where no other takes over from it.
    pub fn lame_duck(&self, hosted: &Hosted) -> Duration {
        let most = if hosted.is_all() {
            Duration::ZERO
        } else {
            LAME_DUCK.min(self.drain_timeout / 4)
        };
        self.lame_duck.unwrap_or(most)
    }

    /// The topic manifest.
    pub fn manifest(&self) -> anyhow::Result<Manifest> {
        let Some(path) = &self.topics else {
            return Manifest::parse(TOPICS).context("the built-in topic manifest");
        };
        let manifest = Manifest::parse(&relay_settings::read_text(path)?);
        Ok(manifest.map_err(|mistake| FileError::wrong(path, mistake))?)
    }
}
