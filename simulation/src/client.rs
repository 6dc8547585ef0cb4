//! Clients: what they asked, and what they saw.

use relay_lifecycle::Transcript;
use relay_schemas::{RequestId, TimestampMs};

/// One client with one request.
#[derive(Debug)]
pub(crate) struct Client {
    /// What it asked.
    pub asked: ClientRequest,
    /// The id of the request that it is told the end of.
    pub id: RequestId,
    /// The hash of its body.
    pub request_hash: String,
    /// Shown so far.
    pub seen: Transcript,
    /// How it ended for the client.
    pub end: Option<ClientEnd>,
    /// Its deadline.
    pub deadline: TimestampMs,
}

/// What a client asks. Who repeats it under its idempotency key asks the same; who reuses the key asks for another number of tokens.
#[derive(Debug, Clone)]
pub(crate) struct ClientRequest {
    /// The request's id in its first try.
    pub id: RequestId,
    /// Whether the client chose it, by an idempotency key.
    pub keyed: bool,
    /// Which question.
    pub question: u8,
    /// Output tokens wished for.
    pub tokens: u8,
}

/// How it ended for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientEnd {
    /// As an answer.
    Finished,
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
