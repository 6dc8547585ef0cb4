//! What can be set.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_runner::{Backoff, Chance, LeadershipTimes};
use relay_settings::ByteSize;
use serde::Deserialize;

/// How the next tenant is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fairness {
    /// By virtual token counters: who was charged least comes next.
    Vtc,
    /// In turn, whatever the requests cost.
    RoundRobin,
}

/// The section `scheduler`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pools this instance leads or stands by for.
    pub pools: Vec<String>,
    /// How the next tenant, and the next flow inside it, is chosen.
    pub fairness: Fairness,
    /// Shares of what is served.
    pub weights: Weights,
    /// What may wait, and what memory may hold.
    pub limits: Limits,
    /// Who runs what, and until when.
    pub leases: Leases,
    /// Which instance leads, and what a successor finds.
    pub leadership: LeadershipConfig,
    /// What is remembered of what is over.
    pub remembered: Remembered,
    /// Waits for a bus that is away.
    pub retry: Retry,
    /// How often the pool's status is broadcast.
    #[serde(with = "humantime_serde")]
    pub pool_status_every: Duration,
    /// Most requests dispatched in one round of the loop.
    pub dispatch_round: usize,
    /// Most records that wait in memory between the bus and the loop, in batches a topic.
    pub feed_batches: usize,
}

/// The section `scheduler.weights`, percent.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Shares of tenants of the default share; 200 gets twice the tokens of 100.
    pub tenants: BTreeMap<String, u32>,
    /// Share of a tenant's short lane against its other flows.
    pub short: u32,
    /// Of its long lane.
    pub long: u32,
    /// Of its batch class.
    pub batch: u32,
}

/// The section `scheduler.limits`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most interactive requests that wait, all tenants together; one more is rejected.
    pub max_waiting: usize,
    /// Most interactive requests of one tenant that wait; one more is rejected.
    pub max_waiting_per_tenant: usize,
    /// Most of bodies held; beyond it `ready` is not read on, and the log holds the rest.
    pub max_bodies: ByteSize,
    /// Most of one tenant's, so that none keeps the others' requests from being read; one more interactive request is rejected.
    pub max_bodies_per_tenant: ByteSize,
    /// Most outcomes and dead letters that may wait to be published; beyond it nothing more is read until some are.
    pub max_unpublished: ByteSize,
    /// Most of a record's value that its dead letter keeps.
    pub max_dead_letter: ByteSize,
}

/// The section `scheduler.leases`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Leases {
    /// Attempts a request gets in a pool before it goes on in another one, or fails as `worker_lost`.
    pub max_attempts: u32,
    /// Runs of a request that failed before they began (its model was not loaded, its endpoint could not be reached) and count as
    /// no attempts; likewise those that a living worker never read, as the log was away.
    pub max_let_off: u32,
    /// A lease that its worker has not shown for this long is revoked.
    #[serde(with = "humantime_serde")]
    pub lost_after: Duration,
    /// A worker that was silent for this long gets no new work.
    #[serde(with = "humantime_serde")]
    pub fresh: Duration,
    /// How long an ingress may take to answer a fence question; asked twice.
    #[serde(with = "humantime_serde")]
    pub fence_timeout: Duration,
    /// Where no worker has taken a model's requests for this long, they go on in the pool of the plan's next candidate.
    #[serde(with = "humantime_serde")]
    pub hand_over_after: Duration,
    /// Where it names no other pool, an interactive request ends after this long: a worker may be starting.
    #[serde(with = "humantime_serde")]
    pub unserved_grace: Duration,
    /// And a batch line after this long.
    #[serde(with = "humantime_serde")]
    pub batch_unserved_grace: Duration,
}

/// The section `scheduler.leadership`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeadershipConfig {
    /// How often the leader appends a heartbeat.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// After how long without one a standby claims the lead.
    #[serde(with = "humantime_serde")]
    pub suspect_after: Duration,
    /// After how long without reading its own heartbeat a leader stops dispatching. Less than `suspect_after`.
    #[serde(with = "humantime_serde")]
    pub self_fence_after: Duration,
    /// After how long without reading its own heartbeat a leader gives the lead up, and begins anew. More than `self_fence_after`.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
    /// A snapshot is written at least this often while something changes.
    #[serde(with = "humantime_serde")]
    pub snapshot_every: Duration,
    /// And after so many changes.
    pub snapshot_changes: u64,
    /// How many outcomes a partition are read again at a takeover, only to remember that they ended.
    pub ended_overlap: i64,
}

/// The section `scheduler.remembered`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Remembered {
    /// Requests that ended or were handed over, so that their duplicates are dropped.
    pub ended: usize,
    /// Cancelled requests, so that a cancel that overtakes its request holds.
    pub cancelled: usize,
    /// Tenants whose counters are kept; beyond it the idle ones charged least are forgotten.
    pub tenants: usize,
}

/// The section `scheduler.retry`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// First wait after the bus was found unavailable; doubles up to `max`.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// Longest wait between two tries.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
}

impl Retry {
    pub(crate) fn backoff(&self, chance: &Chance) -> Backoff {
        Backoff::new(self.base, self.max, chance)
    }
}

impl LeadershipConfig {
    /// What the election goes by.
    pub fn times(&self) -> LeadershipTimes {
        LeadershipTimes {
            heartbeat: self.heartbeat,
            suspect_after: self.suspect_after,
            self_fence_after: self.self_fence_after,
            give_up_after: self.give_up_after,
            snapshot_every: self.snapshot_every,
            snapshot_changes: self.snapshot_changes,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pools: vec!["default".to_owned()],
            fairness: Fairness::Vtc,
            weights: Weights::default(),
            limits: Limits::default(),
            leases: Leases::default(),
            leadership: LeadershipConfig::default(),
            remembered: Remembered::default(),
            retry: Retry::default(),
            pool_status_every: Duration::from_millis(250),
            dispatch_round: 256,
            feed_batches: 16,
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            tenants: BTreeMap::new(),
            short: 100,
            long: 100,
            batch: 25,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_waiting: 50_000,
            max_waiting_per_tenant: 20_000,
            max_bodies: ByteSize::mib(256),
            max_bodies_per_tenant: ByteSize::mib(64),
            max_unpublished: ByteSize::mib(64),
            max_dead_letter: ByteSize::kib(64),
        }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            max_let_off: 16,
            lost_after: Duration::from_secs(2),
            fresh: Duration::from_secs(1),
            fence_timeout: Duration::from_millis(500),
            hand_over_after: Duration::from_secs(5),
            unserved_grace: Duration::from_secs(10),
            batch_unserved_grace: Duration::from_hours(1),
        }
    }
}

impl Default for LeadershipConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            suspect_after: Duration::from_secs(2),
            self_fence_after: Duration::from_millis(1_500),
            give_up_after: Duration::from_secs(20),
            snapshot_every: Duration::from_secs(5),
            snapshot_changes: 20_000,
            ended_overlap: 1_000,
        }
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            ended: 65_536,
            cancelled: 16_384,
            tenants: 10_000,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(50),
            max: Duration::from_secs(1),
        }
    }
}
