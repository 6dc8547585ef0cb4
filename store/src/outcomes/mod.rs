//! Outcomes: which record ended each request, remembered as long as the topic keeps its records, also when the trace
//! is deleted.

pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod verdict;

use async_trait::async_trait;
use relay_schemas::TimestampMs;

pub use self::verdict::{Verdict, Winners, fold};
use crate::error::StoreError;
use crate::logged::LoggedOutcome;

/// Who won, and what becomes of an outcome.
#[async_trait]
pub trait Outcomes: Send + Sync + 'static {
    /// Judges outcomes in the order given and writes the traces of those that won, in one transaction; says what became
    /// of each.
    async fn fold(&self, outcomes: &[LoggedOutcome]) -> Result<Vec<Verdict>, StoreError>;

    /// Forgets who won requests that ended before `before`.
    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError>;
}
