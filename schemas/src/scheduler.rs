//! What a pool's schedulers write down: leadership and snapshots. Field by field: the schemas.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Lease, Queueing, RequestId, TenantId, TimestampMs, TokenCount};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerRecordKind {
    Claim,
    Heartbeat,
    Snapshot,
    Resignation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerRecord {
    pub pool: String,
    pub scheduler: InstanceId,
    pub scheduler_start: i64,
    pub kind: SchedulerRecordKind,
    pub epoch: i64,
    pub sent_at: TimestampMs,
    pub snapshot: Option<SchedulerSnapshot>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerSnapshot {
    pub folded: Vec<FoldedOffset>,
    pub waiting: Vec<WaitingPositions>,
    pub requeued: Vec<RequeuedPosition>,
    pub leases: Vec<LeaseEntry>,
    pub tenants: Vec<TenantCounter>,
    pub last_left: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub floors: Vec<ModelCounter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCounter {
    pub model: String,
    pub value: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedOffset {
    pub topic: String,
    pub partition: i32,
    pub next: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingPositions {
    pub partition: i32,
    pub first: i64,
    pub steps: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeuedPosition {
    pub partition: i32,
    pub offset: i64,
    pub attempt: u32,
    pub waited_ms: i64,
    pub let_off: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEntry {
    pub request_id: RequestId,
    pub tenant: TenantId,
    pub ready_partition: Option<i32>,
    pub ready_offset: Option<i64>,
    pub queueing: Queueing,
    pub lease: Lease,
    pub tokens: TokenCount,
    pub cancelled: bool,
    pub let_off: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantCounter {
    pub tenant: TenantId,
    pub counter: i64,
    pub turn: i64,
    pub flows: Vec<i64>,
    pub last_left: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub settled: Option<i64>,
    pub lifts: Vec<ModelCounter>,
}
