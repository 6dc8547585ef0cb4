//! What there is and what was done, for metrics and bounds.

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub waiting_short: usize,
    pub waiting_long: usize,
    pub waiting_batch: usize,
    pub running: usize,
    /// Bytes of the bodies held.
    pub body_bytes: usize,
    /// Offers of requests that were known or had ended.
    pub duplicates: u64,
    pub superseded: u64,
    pub revoked: u64,
    /// Dispatches beyond the first attempt.
    pub retried: u64,
    /// Requests that another pool has.
    pub handed_over: u64,
    /// Everything that would change a snapshot.
    pub changes: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
}

/// Events that no part counts by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) duplicates: u64,
    pub(super) superseded: u64,
    pub(super) revoked: u64,
    pub(super) retried: u64,
    pub(super) handed_over: u64,
}
