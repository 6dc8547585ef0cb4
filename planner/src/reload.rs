//! Which policy is in force: publishes each before it plans anything, and follows the file.
//!
//! A file that is being written may be read in half, and half a policy may be a valid one. So what has changed is tried once two
//! looks in a row find the same.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use relay_bus::topics::{POLICIES, ready};
use relay_bus::{Bus, BusError, Headers, Outgoing};
use relay_runner::Runtime;
use relay_schemas::{PolicyBody, TimestampMs, encode};

use crate::config::PolicyFile;
use crate::load::{self, LoadError};
use crate::metrics::Metrics;
use crate::policy::Policy;

/// The longest wait between two tries to reach the bus.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The policy in force. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<RwLock<Arc<Policy>>>);

impl InForce {
    pub(crate) fn new(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }

    pub(crate) fn get(&self) -> Arc<Policy> {
        self.0.read().clone()
    }

    fn set(&self, policy: Policy) {
        *self.0.write() = Arc::new(policy);
    }
}

/// Why a good file is not in force.
enum NotAdopted {
    /// It does not fit this installation.
    Unfit(String),
    /// The bus is away; the same file may do later.
    Unavailable(String),
}

/// Publishes `policy`, so that whoever reads a plan can find what planned it.
async fn publish(bus: &dyn Bus, policy: &Policy, now: TimestampMs) -> Result<(), NotAdopted> {
    for name in policy.pools() {
        match bus.partitions(&ready(name)).await {
            Ok(_) => {}
            Err(BusError::UnknownTopic(topic)) => {
                let reason = format!(
                    "pool `{name}` has no topic {topic}; add the pool to deploy/topics.yaml and run `relay topics apply`"
                );
                return Err(NotAdopted::Unfit(reason));
            }
            Err(error) => return Err(NotAdopted::Unavailable(error.to_string())),
        }
    }
    let body = PolicyBody {
        version: policy.version().to_owned(),
        body: policy.body().to_owned(),
        loaded_at: now,
    };
    let record = Outgoing::keyed(POLICIES, body.version.clone(), Headers::default(), encode(&body));
    match bus.publish(vec![record], Vec::new()).await {
        Ok(_) => Ok(()),
        Err(error @ BusError::TooLarge { .. }) => Err(NotAdopted::Unfit(error.to_string())),
        Err(error) => Err(NotAdopted::Unavailable(error.to_string())),
    }
}

/// Puts the first policy in force, waiting for the bus and its topics. `None` if a drain comes first.
pub(crate) async fn first(file: &PolicyFile, runtime: &Runtime) -> Result<Option<InForce>, LoadError> {
    let policy = load::load(file)?;
    let mut wait = Duration::from_millis(50);
    loop {
        let (dependency, reason) = match publish(&*runtime.bus, &policy, runtime.clock.now()).await {
            Ok(()) => {
                runtime.health.up("bus");
                runtime.health.up("policy");
                tracing::info!(policy.version = policy.version(), "the policy is in force");
                return Ok(Some(InForce::new(policy)));
            }
            Err(NotAdopted::Unfit(reason)) => ("policy", reason),
            Err(NotAdopted::Unavailable(reason)) => ("bus", reason),
        };
        if runtime.health.all().get(dependency).is_none_or(Option::is_none) {
            tracing::warn!(dependency, reason, "the planner waits");
        }
        runtime.health.down(dependency, reason);
        tokio::select! {
            biased;
            () = runtime.shutdown.draining() => return Ok(None),
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
        }
    }
}

/// What was found in the file: its content, or why it cannot be read.
type Found = Result<String, LoadError>;

/// What looks at the file have found so far.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What was tried last: adopted or refused.
    pub(crate) tried: Found,
    /// Another one, that the last look found.
    pub(crate) changed: Option<Found>,
}

impl Seen {
    pub(crate) fn tried(tried: Found) -> Self {
        Self { tried, changed: None }
    }
}

/// Follows the file for as long as the process runs.
pub(crate) struct Follower {
    pub(crate) file: PolicyFile,
    pub(crate) every: Duration,
    pub(crate) runtime: Runtime,
    pub(crate) in_force: InForce,
    pub(crate) metrics: Metrics,
}

impl Follower {
    /// Looks at the file again and again, until a drain. The built-in policy never changes.
    pub(crate) async fn run(self) {
        if self.file.path().is_none() {
            return;
        }
        let mut seen = Seen::tried(Ok(self.in_force.get().body().to_owned()));
        loop {
            tokio::select! {
                biased;
                () = self.runtime.shutdown.draining() => return,
                () = tokio::time::sleep(self.every) => {}
            }
            seen = self.look(seen).await;
        }
    }

    /// One look at the file, given what was seen before; returns what is seen now. The content is compared, not the time of
    /// change, which copies and some file systems keep or round.
    pub(crate) async fn look(&self, Seen { tried, changed }: Seen) -> Seen {
        let found = load::read(&self.file);
        if found == tried {
            return Seen::tried(tried);
        }
        if changed.as_ref() != Some(&found) {
            return Seen {
                tried,
                changed: Some(found),
            };
        }
        let refusal = match &found {
            Err(error) => Some(error.clone()),
            Ok(body) if *body == self.in_force.get().body() => None,
            Ok(body) => match self.adopt(body).await {
                Ok(()) => None,
                Err(Some(refusal)) => Some(refusal),
                Err(None) => return Seen { tried, changed },
            },
        };
        self.metrics.policy_looked_at(refusal.is_none());
        let version = self.in_force.get().version().to_owned();
        match refusal {
            None => tracing::info!(policy.version = version, "the policy file is in force"),
            Some(error) => tracing::error!(
                policy.version = version,
                %error,
                "the policy file is refused; the policy before it stays in force"
            ),
        }
        Seen::tried(found)
    }

    /// `Err(None)`: the bus is away, look again.
    async fn adopt(&self, body: &str) -> Result<(), Option<LoadError>> {
        let policy = load::parse(&self.file, body).map_err(Some)?;
        match publish(&*self.runtime.bus, &policy, self.runtime.clock.now()).await {
            Ok(()) => {
                self.in_force.set(policy);
                Ok(())
            }
            Err(NotAdopted::Unfit(reason)) => Err(Some(LoadError::Unfit {
                file: self.file.name(),
                reason,
            })),
            Err(NotAdopted::Unavailable(_)) => Err(None),
        }
    }
}
