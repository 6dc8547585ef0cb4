//! The last record of a request. Field by field: `avsc/outcome.avsc`.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Answer, Caching, Lease, MicroUsd, Planning, Queueing, Request, RequestId, Run, TenantId, TimestampMs,
    TokenCount,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    Completed,
    Cached,
    Rejected,
    Failed,
    Expired,
    Cancelled,
    Refused,
}

impl OutcomeStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::Cached,
        Self::Rejected,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Refused,
    ];

    /// The word that the records, metrics and pages have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cached => "cached",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: TokenCount,
    pub completion_tokens: TokenCount,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub compute_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub request_id: RequestId,
    pub tenant: TenantId,
    pub status: OutcomeStatus,
    pub code: Option<String>,
    pub message: Option<String>,
    pub retry_after_ms: Option<i64>,
    pub run: Run,
    pub request: Option<Arc<Request>>,
    pub planning: Option<Arc<Planning>>,
    pub caching: Option<Arc<Caching>>,
    pub queueing: Option<Queueing>,
    pub lease: Option<Lease>,
    pub answer: Option<Arc<Answer>>,
    pub usage: Usage,
    pub cost_micro_usd: MicroUsd,
    pub timings: Timings,
    pub ended_at: TimestampMs,
}
