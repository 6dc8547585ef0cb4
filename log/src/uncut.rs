//! What a loss of power tore, and what goes with it.

/// What is to be cut off the end.
#[derive(Debug, Default)]
pub(crate) struct Uncut {
    /// Segments that go.
    pub gone: Vec<u64>,
    pub torn: Option<Torn>,
}

/// Where the torn end begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Torn {
    pub segment: u64,
    pub at: u64,
    pub bytes: u64,
    /// Nothing of the segment is left.
    pub whole: bool,
}
