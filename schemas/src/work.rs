//! From cache lookup to lease: what the cache service and the scheduler add. Field by field: the schemas.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Planning, Request, RequestId, TimestampMs};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheStatus {
    Off,
    Miss,
    Hit,
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub level: String,
    pub source_request_id: RequestId,
    pub source_topic: String,
    pub source_partition: i32,
    pub source_offset: i64,
    pub filled_at: TimestampMs,
    pub policy_version: String,
    pub model: String,
    pub model_version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caching {
    pub key: String,
    pub exact: CacheStatus,
    pub provenance: Option<Provenance>,
    pub looked_up_at: TimestampMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Short,
    Long,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    pub worker: InstanceId,
    pub worker_epoch: i64,
    pub attempt: u32,
    pub scheduler_epoch: i64,
    pub granted_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queueing {
    pub pool: String,
    pub lane: Lane,
    pub queued_at: TimestampMs,
    pub dispatched_at: TimestampMs,
    pub queue_wait_ms: i64,
    pub waiting_ahead: u32,
}

/// What the cache service hands on when nothing answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    pub request: Arc<Request>,
    pub planning: Arc<Planning>,
    pub caching: Arc<Caching>,
}

/// What the scheduler hands to the one worker that the lease names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub request: Arc<Request>,
    pub planning: Arc<Planning>,
    pub caching: Arc<Caching>,
    pub queueing: Queueing,
    pub lease: Lease,
}
