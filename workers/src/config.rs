//! What can be set about a worker. The models themselves are declared in a file of their own: see [`crate::models`].

use std::path::PathBuf;
use std::time::Duration;

use relay_settings::{ByteSize, FileError, Reading};
use serde::Deserialize;

use crate::error::Error;
use crate::home;
use crate::models::{Device, Models};
use crate::onnx::library_path;

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
    /// The file that declares the models: the one that is named, else the one that comes along.
    pub fn models_file(&self) -> PathBuf {
        self.models.clone().unwrap_or_else(home::models)
    }

    /// What that file says, as far as it can be used, and all that is wrong with it.
    ///
    /// # Errors
    /// A file that cannot be read at all.
    pub fn read_models(&self) -> Result<Reading<Models>, Error> {
        let file = self.models_file();
        match relay_settings::read_text(&file) {
            Ok(text) => Ok(Models::read(&text, &file)),
            Err(FileError::Unreadable { path, reason }) if self.models.is_none() => {
                let places = home::models_places();
                Err(Error::NoModels { path, reason, places })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// ONNX Runtime's library: as the environment says, else as the configuration does, else the one that comes along.
    pub fn library(&self) -> PathBuf {
        library_path(&self.onnxruntime.clone().unwrap_or_else(home::library))
    }

    /// The models of the file that is named, else of the one that comes along.
    pub fn declared(&self) -> Result<Models, Error> {
        let sound = self.read_models()?.sound();
        Ok(sound.map_err(|mistake| FileError::wrong(&self.models_file(), mistake))?)
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
