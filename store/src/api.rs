//! What a store must do. Two implementations, one contract suite (`tests/contract.rs`).

use async_trait::async_trait;
use relay_schemas::{MicroUsd, Outcome, OutcomeStatus, RequestId, TenantId, TimestampMs, Usage};

/// Traces and winners.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Folds outcomes in the order given, in one transaction; says of each what it turned out to be.
    async fn fold(&self, outcomes: &[Stored]) -> Result<Vec<Folded>, StoreError>;

    /// The winning outcome of a request with the place where it lies, while its trace is kept.
    async fn winner(&self, request: &RequestId) -> Result<Option<Stored>, StoreError>;

    /// The newest traces first; of one millisecond, the greater request id first.
    async fn traces(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError>;

    /// How many traces are kept.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Deletes traces that ended before `traces_before`, and forgets winners decided before `winners_before`; says how many traces went.
    async fn retain(
        &self,
        traces_before: TimestampMs,
        winners_before: TimestampMs,
    ) -> Result<u64, StoreError>;

    /// Answers if the store can be reached now.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// An outcome and where it lies in `relay.outcomes.v1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The outcome.
    pub outcome: Outcome,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// What an outcome turned out to be. The first in partition order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// The first of its request: it is the truth.
    Won,
    /// This very record was folded before: redelivery.
    Again,
    /// Another record of the request won.
    Superseded,
}

/// Which traces to list.
#[derive(Debug, Clone, Default)]
pub struct TraceFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only with this status.
    pub status: Option<OutcomeStatus>,
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
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub queue_wait_ms: Option<i64>,
    pub usage: Usage,
    pub cost_micro_usd: MicroUsd,
    pub ended_at: TimestampMs,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached: wait.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It cannot hold this data, and never will: nothing of the call was stored.
    #[error("the store refuses the data: {0}")]
    Refused(String),
    /// Nothing that waiting mends.
    #[error("the store failed: {0}")]
    Fatal(String),
}
