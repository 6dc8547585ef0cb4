//! What can be set about a worker. The models themselves are declared in a file of their own: see [`crate::models`].

use std::path::PathBuf;
use std::time::Duration;

use relay_settings::{ByteSize, FileError};
use serde::Deserialize;

use crate::error::Error;
use crate::home;
use crate::models::{Device, Models};

/// The section `workers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pool whose work this worker takes.
    pub pool: String,
    /// The file that declares the models; without one, the one that comes along with Relay.
    pub models: Option<PathBuf>,
    /// ONNX Runtime's shared library; without one, the one that comes along. `RELAY_ONNXRUNTIME` goes before it.
    pub onnxruntime: Option<PathBuf>,
    /// Where ONNX models run that do not say it themselves: `cpu`, `cuda`, `tensorrt` or `coreml`.
    pub device: Device,
    /// Requests of the short lane that it holds at once, all models together; the models file may say otherwise. Never more than
    /// the models turn.
    pub short_slots: u32,
    /// Likewise for the long lane.
    pub long_slots: u32,
    /// When the status is sent.
    pub status: StatusConfig,
    /// Largest answer; a longer one is cut and ends with `length`.
    pub max_answer: ByteSize,
    /// Most runs whose frames are kept for asking again.
    pub replay_runs: usize,
    /// Most bytes of text kept of one run.
    pub replay_size: ByteSize,
    /// How long they are kept after the run has ended.
    #[serde(with = "humantime_serde")]
    pub replay_keep: Duration,
    /// Most cancelled request ids remembered, for cancels that overtake their requests; as many of which leases are over.
    pub remembered_cancels: usize,
    /// How long they are remembered.
    #[serde(with = "humantime_serde")]
    pub cancel_keep: Duration,
    /// Most runs remembered as done, so that a record delivered again is not run again.
    pub remembered_runs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool: "default".to_owned(),
            models: None,
            onnxruntime: None,
            device: Device::Cpu,
            short_slots: 64,
            long_slots: 32,
            status: StatusConfig::default(),
            max_answer: ByteSize::mib(1),
            replay_runs: 1_024,
            replay_size: ByteSize::kib(256),
            replay_keep: Duration::from_secs(5),
            remembered_cancels: 16_384,
            cancel_keep: Duration::from_mins(10),
            remembered_runs: 65_536,
        }
    }
}

impl Config {
    /// The models of the file that is named, else of the one that comes along.
    pub fn declared(&self) -> Result<Models, Error> {
        if let Some(named) = &self.models {
            return Ok(Models::load(named)?);
        }
        let file = home::models();
        Models::load(&file).map_err(|error| match error {
            FileError::Unreadable { path, reason } => Error::NoModels {
                path,
                reason,
                places: home::models_places(),
            },
            FileError::Wrong { .. } => error.into(),
        })
    }
}

/// The section `workers.status`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusConfig {
    /// How often it is sent where nothing changes. The scheduler calls a worker silent after 2 s.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// Least time between two: changes that come closer together travel together.
    #[serde(with = "humantime_serde")]
    pub least: Duration,
}

impl Default for StatusConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(100),
            least: Duration::from_millis(5),
        }
    }
}
