//! What the scheduler is handed.

use std::sync::Arc;

use relay_control::Control;
use relay_runner::{Identity, Runtime};

/// What the process that hosts the scheduler hands to it.
pub struct Deps {
    /// Bus, schemas, health, metrics, shutdown.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// Statuses, cancels, questions and final frames.
    pub control: Arc<dyn Control>,
}
