//! What can be set.

use std::collections::BTreeMap;

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

/// Configuration of the scheduler.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pools this instance leads or stands by for.
    pub pools: Vec<String>,
    /// How the next tenant, and the next flow inside it, is chosen.
    pub fairness: Fairness,
    /// Shares of tenants in percent of the default share; 200 gets twice the tokens of 100.
    pub tenant_weights: BTreeMap<String, u32>,
    /// Share of a tenant's short lane against its other flows, percent.
    pub short_weight: u32,
    /// Share of its long lane, percent.
    pub long_weight: u32,
    /// Share of its batch class, percent.
    pub batch_weight: u32,
    /// Most interactive requests that wait, all tenants together; one more is rejected.
    pub max_waiting: usize,
    /// Most interactive requests of one tenant that wait; one more is rejected.
    pub max_waiting_per_tenant: usize,
    /// Most bytes of bodies held; beyond it `ready` is not read on, and the log holds the rest.
    pub max_body_bytes: usize,
    /// Bytes of endings and dead letters that may wait to be published; beyond it nothing more is read until some are.
    pub max_unpublished_bytes: usize,
    /// Attempts a request gets before it fails as `worker_lost`.
    pub max_attempts: u32,
    /// A lease that its worker has not shown for this long is revoked, milliseconds.
    pub lost_after_ms: u64,
    /// Where no worker has taken a model's requests for this long, they go on in the pool of the plan's next candidate, milliseconds.
    pub hand_over_after_ms: u64,
    /// A worker that was not heard for this long gets no new work, milliseconds.
    pub fresh_ms: u64,
    /// How long an ingress may take to answer a fence question, milliseconds; asked twice.
    pub fence_timeout_ms: u64,
    /// How often the leader appends a heartbeat, milliseconds.
    pub heartbeat_ms: u64,
    /// After how long without one a standby claims the lead, milliseconds.
    pub suspect_after_ms: u64,
    /// After how long without reading its own heartbeat a leader stops dispatching, milliseconds. Less than `suspect_after_ms`.
    pub self_fence_after_ms: u64,
    /// A snapshot is written at least this often while something changes, milliseconds.
    pub snapshot_every_ms: u64,
    /// And after so many changes.
    pub snapshot_every_changes: u64,
    /// Recently ended requests remembered, so that their duplicates are dropped.
    pub ended_remembered: usize,
    /// Recently cancelled requests remembered, so that a cancel that overtakes its request holds.
    pub cancelled_remembered: usize,
    /// How many outcomes a partition are read again at a takeover, only to remember that they ended.
    pub ended_overlap: i64,
    /// Tenants whose counters are kept; beyond it the idle ones charged least are forgotten.
    pub tenants_remembered: usize,
    /// How often the pool's status is broadcast, milliseconds.
    pub pool_status_ms: u64,
    /// Most requests dispatched in one round of the loop.
    pub dispatch_round: usize,
    /// Most records that wait in memory between the bus and the loop, in batches a topic.
    pub feed_batches: usize,
    /// First wait after the bus was found unavailable, milliseconds; doubles up to `retry_max_ms`.
    pub retry_base_ms: u64,
    /// Longest wait between two tries, milliseconds.
    pub retry_max_ms: u64,
    /// How long a drain waits for what is being published, milliseconds.
    pub drain_ms: u64,
    /// Most bytes of a record's value that its dead letter keeps.
    pub dead_letter_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pools: vec!["default".to_owned()],
            fairness: Fairness::Vtc,
            tenant_weights: BTreeMap::new(),
            short_weight: 100,
            long_weight: 100,
            batch_weight: 25,
            max_waiting: 50_000,
            max_waiting_per_tenant: 20_000,
            max_body_bytes: 256 * 1024 * 1024,
            max_unpublished_bytes: 64 * 1024 * 1024,
            max_attempts: 3,
            lost_after_ms: 2_000,
            hand_over_after_ms: 5_000,
            fresh_ms: 1_000,
            fence_timeout_ms: 500,
            heartbeat_ms: 500,
            suspect_after_ms: 2_000,
            self_fence_after_ms: 1_500,
            snapshot_every_ms: 5_000,
            snapshot_every_changes: 20_000,
            ended_remembered: 65_536,
            cancelled_remembered: 16_384,
            ended_overlap: 1_000,
            tenants_remembered: 10_000,
            pool_status_ms: 250,
            dispatch_round: 256,
            feed_batches: 16,
            retry_base_ms: 50,
            retry_max_ms: 1_000,
            drain_ms: 5_000,
            dead_letter_bytes: 64 * 1024,
        }
    }
}
