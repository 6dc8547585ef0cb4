//! What can be set about a worker. The models themselves are declared in a file of their own: see [`crate::models`].

use std::path::PathBuf;

use serde::Deserialize;

use crate::models::Device;

/// The section `workers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pool whose work this worker takes.
    pub pool: String,
    /// The file that declares the models.
    pub models: PathBuf,
    /// ONNX Runtime's shared library. `RELAY_ONNXRUNTIME` goes before it.
    pub onnxruntime: PathBuf,
    /// Where ONNX models run that do not say it themselves: `cpu`, `cuda`, `tensorrt` or `coreml`.
    pub device: Device,
    /// Requests of the short lane that it holds at once; the models file may say otherwise.
    pub short_slots: u32,
    /// Likewise for the long lane.
    pub long_slots: u32,
    /// How often the status is sent where nothing changes, milliseconds. The scheduler calls a worker silent after 2 s.
    pub status_every_ms: u64,
    /// Least time between two statuses, milliseconds: changes that come closer together travel together.
    pub status_least_ms: u64,
    /// Largest answer, bytes; a longer one is cut and ends with `length`.
    pub max_answer_bytes: usize,
    /// Most runs whose frames are kept for asking again.
    pub replay_runs: usize,
    /// Most bytes of text kept of one run.
    pub replay_bytes: usize,
    /// How long they are kept after the run has ended, milliseconds.
    pub replay_keep_ms: i64,
    /// Most cancelled request ids remembered, for cancels that overtake their requests.
    pub remembered_cancels: usize,
    /// How long they are remembered, milliseconds.
    pub cancel_keep_ms: i64,
    /// Most runs remembered as done, so that a record delivered again is not run again.
    pub remembered_runs: usize,
    /// How long a drain waits for what runs, milliseconds.
    pub grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool: "default".to_owned(),
            models: PathBuf::from("models/models.yaml"),
            onnxruntime: PathBuf::from(".relay/tools/onnxruntime/libonnxruntime.so"),
            device: Device::Cpu,
            short_slots: 64,
            long_slots: 32,
            status_every_ms: 100,
            status_least_ms: 5,
            max_answer_bytes: 1_048_576,
            replay_runs: 1_024,
            replay_bytes: 256 * 1024,
            replay_keep_ms: 5_000,
            remembered_cancels: 16_384,
            cancel_keep_ms: 600_000,
            remembered_runs: 65_536,
            grace_ms: 20_000,
        }
    }
}
