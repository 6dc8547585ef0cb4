//! What every service is handed by the process that hosts it.

use std::sync::Arc;

use relay_schemas::{InstanceId, Registry, Run, Service};

use crate::chance::Chance;
use crate::health::Health;
use crate::shutdown::Shutdown;
use crate::watchdog::Watchdog;
use relay_bus::Bus;
use relay_clock::Clock;

/// The shared parts of a process. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Clock,
    /// What is left to chance.
    pub chance: Chance,
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// Which dependency is missing.
    pub health: Health,
    /// Where metrics are registered.
    pub metrics: prometheus::Registry,
    /// Drain and stop.
    pub shutdown: Shutdown,
    /// Parts that make no progress.
    pub watchdog: Watchdog,
}

impl Runtime {
    /// A process on `bus` that has reported, counted and learned nothing yet, on the system's clock and chance.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self {
            bus,
            clock: Clock::system(),
            chance: Chance::system(),
            schemas: Arc::default(),
            health: Health::default(),
            metrics: prometheus::Registry::new(),
            shutdown: Shutdown::default(),
            watchdog: Watchdog::default(),
        }
    }
}

/// Which instance of which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The service.
    pub service: Service,
    /// The instance's name.
    pub instance: InstanceId,
    /// When it started, milliseconds since 1970.
    pub epoch: i64,
}

impl Identity {
    /// The run of `attempt` by this instance.
    pub fn run(&self, attempt: u32) -> Run {
        Run {
            service: self.service,
            instance: self.instance.clone(),
            epoch: self.epoch,
            attempt,
        }
    }
}
