//! Clients: what they asked, and what they saw.

use relay_schemas::{RequestId, TimestampMs};

/// One client with one request.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its request; `None` where the ingress was dead.
    pub request: Option<RequestId>,
    /// Text shown so far.
    pub text: String,
    /// How it ended for the client.
    pub end: Option<Saw>,
    /// Its deadline.
    pub deadline: TimestampMs,
}

/// How it ended for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saw {
    /// With a finish reason.
    Finished(String),
    /// With an error, or not at all.
    Error,
    /// It went away.
    Left,
}

impl Client {
    /// Whether nothing more comes.
    pub fn is_done(&self) -> bool {
        self.end.is_some()
    }
}
