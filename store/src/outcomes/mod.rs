//! Outcomes: which record ended each request, remembered as long as the topic keeps its records, also when the trace
//! is deleted.

pub(crate) mod folded;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod verdict;

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};

pub use self::folded::{Advance, Folded, Positions};
pub use self::verdict::{Verdict, WinnerPositions, fold};
use crate::error::StoreError;
use crate::logged::LoggedOutcome;

/// Every table that is a fold of the log: emptied together, or some would hold what others lack.
pub(crate) const FOLDED_TABLES: [&str; 3] = ["request_traces", "winners", "folded"];

/// Who won, and what becomes of an outcome.
#[async_trait]
pub trait Outcomes: Send + Sync + 'static {
    /// Judges outcomes in the order given, writes the traces of those that won and notes how far partitions are folded, in
    /// one transaction; says what became of each. [`StoreError::Moved`] where an advance does not begin where the tables stand.
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError>;

    /// Whether it is remembered that the request ended, be its trace still kept or not.
    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError>;

    /// How far each partition is folded.
    async fn folded(&self) -> Result<Positions, StoreError>;

    /// Empties all tables that are a fold of the log, so that the log is folded into them again.
    async fn forget_all(&self) -> Result<(), StoreError>;

    /// Forgets who won requests that ended before `before`.
    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError>;
}
