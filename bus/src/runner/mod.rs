//! The stage runner: hosts a [`Stage`](crate::Stage) on a bus.

mod error;
mod options;

use std::sync::Arc;

pub use error::RunnerError;
pub use options::StageOptions;

use crate::{Identity, Runtime, Stage};

/// Runs `stage` until a drain is over, or the stage or the bus cannot go on.
#[expect(clippy::unused_async, reason = "the body follows")]
pub async fn run_stage<S: Stage>(
    stage: Arc<S>,
    runtime: &Runtime,
    identity: &Identity,
    options: StageOptions,
) -> Result<(), RunnerError> {
    let _ = (stage, runtime, identity, options);
    Err(RunnerError::Stage("the runner's body follows".to_owned()))
}
