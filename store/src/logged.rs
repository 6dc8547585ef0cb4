//! An outcome as it lies in the log.

use std::sync::Arc;

use relay_schemas::Outcome;

/// An outcome and its position in `relay.outcomes.v1`.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedOutcome {
    /// The outcome.
    pub outcome: Arc<Outcome>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The trace that its client counts it to, as W3C writes it.
    pub traceparent: Option<String>,
}
