//! Messages of the control seam: reply frames, statuses, cancels, questions. Field by field: the schemas.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use serde::{Deserialize, Serialize};

use crate::{
    Candidate, Delta, Embedding, FoldedOffset, InstanceId, Outcome, OutcomeStatus, RequestId, Run, TenantId,
    TimestampMs, TokenCount, Usage,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    pub status: OutcomeStatus,
    pub code: Option<String>,
    pub message: Option<String>,
    pub model: String,
    pub usage: Usage,
    pub usage_details: Option<String>,
    pub extra: Option<String>,
    pub retry_after_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    pub request_id: RequestId,
    pub run: Run,
    pub seq: u32,
    pub deltas: Vec<Delta>,
    pub embeddings: Vec<Embedding>,
    pub tokens: TokenCount,
    #[serde(rename = "final")]
    pub end: Option<Final>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    pub request_id: RequestId,
    pub attempt: u32,
    pub scheduler_epoch: i64,
    pub tokens: TokenCount,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    pub request_id: RequestId,
    pub attempt: u32,
    pub code: String,
    pub message: String,
    pub begun: bool,
}

impl Returned {
    /// The code of what was read and is not run: that attempt of the request is over here.
    pub const PASSED_OVER: &str = "passed_over";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Loading,
    Ready,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    pub model: String,
    pub state: ModelState,
    pub slots: u32,
    pub long_slots: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub worker: InstanceId,
    pub epoch: i64,
    pub pool: String,
    pub models: Vec<String>,
    pub capacity: Vec<ModelStatus>,
    pub seq: i64,
    pub short_partitions: Vec<i32>,
    pub long_partitions: Vec<i32>,
    pub short_slots: u32,
    pub long_slots: u32,
    pub in_flight: Vec<InFlight>,
    pub returned: Vec<Returned>,
    pub draining: bool,
    pub sent_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    pub request_id: RequestId,
    pub tenant: TenantId,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub request_id: RequestId,
    pub attempt: u32,
    pub scheduler_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchShare {
    pub tenant: TenantId,
    pub waiting: u32,
    pub bytes: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    pub pool: String,
    pub scheduler: InstanceId,
    pub epoch: i64,
    pub waiting_interactive: u32,
    pub waiting_batch: u32,
    pub batch_bytes: i64,
    pub batch_tenants: Vec<BatchShare>,
    pub running: u32,
    pub sent_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicModel {
    pub name: String,
    pub candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    pub planner: InstanceId,
    pub epoch: i64,
    pub policy_version: String,
    pub models: Vec<PublicModel>,
    pub sent_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyClaim {
    pub key: RequestId,
    pub request_hash: String,
    pub ingress: InstanceId,
    pub epoch: i64,
    pub lasts_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyQuery {
    pub key: RequestId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAnswer {
    pub request_hash: Option<String>,
    pub accepted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WinnerQuery {
    pub request_id: RequestId,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WinnerAnswer {
    pub outcome: Option<Outcome>,
    pub forgotten: bool,
    pub folded: Vec<FoldedOffset>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayQuery {
    pub request_id: RequestId,
    pub run: Run,
    pub from_seq: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayAnswer {
    pub frames: Vec<Frame>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceQuery {
    pub request_id: RequestId,
    pub attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceAnswer {
    pub known: bool,
    pub saw_token: bool,
}
