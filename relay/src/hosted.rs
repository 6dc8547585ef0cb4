//! Which of the six services a process runs.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
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

/// The services that one process hosts: at least one, each once, in the order of the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted(Vec<HostedService>);

impl Hosted {
    /// All six, as `relay up` hosts them.
    pub fn all() -> Self {
        Self(HostedService::ALL.to_vec())
    }

    /// One service alone.
    pub fn only(service: HostedService) -> Self {
        Self(vec![service])
    }

    /// Whether `service` is among them.
    pub fn has(&self, service: HostedService) -> bool {
        self.0.contains(&service)
    }

    /// Whether no other process is needed for a request to be answered.
    pub fn is_all(&self) -> bool {
        self.0.len() == HostedService::ALL.len()
    }

    /// They, in the order of the flow.
    pub fn iter(&self) -> impl Iterator<Item = HostedService> + '_ {
        self.0.iter().copied()
    }

    /// The command that hosts them.
    pub fn command(&self) -> String {
        match self.0[..] {
            _ if self.is_all() => "relay up".to_owned(),
            [alone] => format!("relay {alone}"),
            _ => format!("relay run {self}"),
        }
    }
}

impl fmt::Display for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|service| service.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Hosted {
    type Err = String;

    /// Reads names by comma, such as `planner,cache-service`, in any order.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut named = Vec::new();
        for name in text.split(',') {
            let service = HostedService::from_str(name.trim(), true).map_err(|_| {
                let all = Self::all();
                format!("`{name}` is no service; there are {all}, and several go by comma")
            })?;
            if named.contains(&service) {
                return Err(format!("{service} is named twice"));
            }
            named.push(service);
        }
        named.sort_by_key(|service| HostedService::ALL.iter().position(|one| one == service));
        Ok(Self(named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_by_comma_in_any_order_each_once() {
        let read = |text: &str| text.parse::<Hosted>();
        let pair = read("cache-service, Planner").expect("it is good");
        assert_eq!(pair.to_string(), "planner,cache-service");
        assert_eq!(pair.command(), "relay run planner,cache-service");
        assert!(!pair.is_all() && pair.has(HostedService::Planner) && !pair.has(HostedService::Ingress));
        let all = Hosted::all();
        assert_eq!(read(&all.to_string()), Ok(all.clone()));
        assert_eq!(all.command(), "relay up");
        assert_eq!(read("workers").expect("it is good").command(), "relay workers");
        assert_eq!(read("planner,planner"), Err("planner is named twice".to_owned()));
        for wrong in ["", "planner,", "planer", "planner cache-service"] {
            let refused = read(wrong).expect_err(wrong);
            assert!(
                refused.contains("ingress,planner,cache-service,scheduler"),
                "{refused}"
            );
        }
    }
}
