//! Traces: the story of each request that ended, as its winning outcome tells it.

pub(crate) mod list;
pub(crate) mod postgres;
pub(crate) mod row;
pub(crate) mod sqlite;
pub(crate) mod written;

use async_trait::async_trait;
use relay_schemas::{MicroUsd, OutcomeStatus, RequestId, TenantId, TimestampMs, Usage};

use crate::error::StoreError;
use crate::logged::LoggedOutcome;

/// What is known of requests that ended. Written by [`crate::Outcomes::fold`], in the transaction that decides who won.
#[async_trait]
pub trait Traces: Send + Sync + 'static {
    /// The winning outcome of a request, as long as its trace is kept.
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError>;

    /// The newest first; of one millisecond, the greater request id first.
    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError>;

    /// How many are kept.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Deletes those that ended before `before`; says how many went.
    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError>;
}

/// Which traces to list.
#[derive(Debug, Clone, Default)]
pub struct TraceFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only with this status.
    pub status: Option<OutcomeStatus>,
    /// Only of this user, as clients name theirs.
    pub user: Option<String>,
    /// Only of the trace of this id, 32 hexadecimal digits.
    pub trace: Option<String>,
    /// Only with all of this metadata.
    pub metadata: Vec<(String, String)>,
    /// Only those that ended before this instant (paging).
    pub before: Option<TimestampMs>,
    /// With [`TraceFilter::before`]: also those that ended in that very millisecond and sort before this request.
    pub before_id: Option<RequestId>,
    /// Most rows, up to [`TraceFilter::MOST`].
    pub limit: u32,
}

impl TraceFilter {
    /// No list is longer than this, whatever was asked for.
    pub const MOST: u32 = 1_000;
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[expect(
    missing_docs,
    reason = "the columns of request_traces, documented in the migration"
)]
pub struct TraceSummary {
    pub request_id: RequestId,
    pub tenant: TenantId,
    pub status: OutcomeStatus,
    pub code: Option<String>,
    pub model: String,
    pub executed_model: Option<String>,
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub queue_wait_ms: Option<i64>,
    pub usage: Usage,
    pub cost_micro_usd: MicroUsd,
    pub ended_at: TimestampMs,
}
