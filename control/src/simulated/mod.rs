//! The seam of a simulation: one switchboard for all of its processes, each with a connection of its own, as NATS would have it. What
//! comes over a connection can be lost, late, twice or overtaken, and a connection can be cut.
//!
//! Compiled only with the feature `simulated`. Everything follows from a seed. `faults` says what may happen and draws what does, `held` keeps
//! what is not due yet, `way` leads to one listener, `seam` knows who is connected, `process` is the seam as one process sees it.

mod faults;
mod held;
mod process;
mod seam;
mod way;

use std::sync::Arc;

use relay_clock::{Clock, Life};

use crate::in_process::InProcessOptions;
pub use faults::Faults;
pub use process::ProcessControl;
use seam::Seam;

/// The seam of a simulation. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct SimulatedSeam(Arc<Seam>);

impl SimulatedSeam {
    /// A seam without faults. What is late is late by `clock`, and is waited for by tokio's time: both are to pass alike.
    pub fn new(options: InProcessOptions, clock: Clock, seed: u64) -> Self {
        Self(Arc::new(Seam::new(options, clock, seed)))
    }

    /// Connects the process `name`, for as long as it lives and the connection is kept.
    ///
    /// # Panics
    /// If the name is no single token of a subject.
    pub fn process(&self, name: &str, life: Arc<Life>) -> ProcessControl {
        ProcessControl::new(Arc::clone(&self.0), self.0.connect(name, life))
    }

    /// What may happen to `name`, from now on and in all of its lives.
    pub fn disturb(&self, name: &str, faults: Faults) {
        self.0.disturb(name, faults);
    }

    /// Cuts `name` off, in all of its lives: it reaches nobody, and nobody reaches it. What is on its way to it is lost, what it has
    /// sent is not.
    pub fn cut_off(&self, name: &str) {
        self.0.cut_off(name);
    }

    /// Lets `name` come back: its listeners are told that something may be missing.
    pub fn reconnect(&self, name: &str) {
        self.0.reconnect(name);
    }
}
