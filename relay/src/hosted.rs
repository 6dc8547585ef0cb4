//! Which of the six services a process runs.

use std::fmt;

use relay_schemas::Service;

/// A service that a process hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum HostedService {
    Ingress,
    Planner,
    CacheService,
    Scheduler,
    Workers,
    TraceSink,
}

impl HostedService {
    /// In the order of the flow.
    pub const ALL: [Self; 6] = [
        Self::Ingress,
        Self::Planner,
        Self::CacheService,
        Self::Scheduler,
        Self::Workers,
        Self::TraceSink,
    ];

    /// Its name in records and metrics.
    pub const fn service(self) -> Service {
        match self {
            Self::Ingress => Service::Ingress,
            Self::Planner => Service::Planner,
            Self::CacheService => Service::CacheService,
            Self::Scheduler => Service::Scheduler,
            Self::Workers => Service::Workers,
            Self::TraceSink => Service::TraceSink,
        }
    }
}

impl fmt::Display for HostedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service().name())
    }
}
