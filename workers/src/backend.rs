//! What runs a model: a session here, or an endpoint elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::{FinishReason, TokenCount, Usage, Work};

use crate::emitter::Emitter;

/// Runs requests for one model. Dropping the future cancels the run.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Runs `work` to its end, sending the answer through `out` as it comes.
    async fn run(&self, work: &Work, out: &mut Emitter) -> Result<Finished, Failure>;

    /// Requests that it turns at once; more wait. 0 once it turns none any more.
    fn turns(&self) -> u32;

    /// Version of the model, as far as it is known before a run.
    fn version(&self) -> &str;
}

/// A run that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Why those choices ended that have not said so themselves, among their deltas.
    pub finish_reason: Option<FinishReason>,
    /// Usage as the backend counts it; without it, what was counted on the way.
    pub usage: Option<Usage>,
    /// What the endpoint counted beside; a JSON object.
    pub usage_details: Option<String>,
    /// What the endpoint said at the answer's top beside what is known; a JSON object.
    pub extra: Option<String>,
    /// What the endpoint calls what it ran.
    pub model_version: Option<String>,
}

impl Finished {
    /// An end with usage as counted on the way.
    pub fn with(finish_reason: FinishReason) -> Self {
        Self {
            finish_reason: Some(finish_reason),
            usage: None,
            usage_details: None,
            extra: None,
            model_version: None,
        }
    }
}

/// A run that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub code: Code,
    /// For the client's people; never holds a key or an address.
    pub message: String,
    /// How long the endpoint wants to be left alone.
    pub retry_after: Option<Duration>,
    /// False where nothing was asked of any model: then another worker may do better.
    pub begun: bool,
}

/// Why a run failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The backend failed.
    BackendError,
    /// The backend says that too much is asked of it: it ran nothing.
    BackendBusy,
    /// The backend cannot be reached, or refuses for want of capacity.
    BackendUnavailable,
    /// Prompt and answer do not fit into the model.
    ContextLengthExceeded,
    /// The request is wrong.
    InvalidRequest,
    /// This worker has no such model.
    ModelNotFound,
}

impl Code {
    /// As outcomes spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackendError => "backend_error",
            Self::BackendBusy => "backend_busy",
            Self::BackendUnavailable => "backend_unavailable",
            Self::ContextLengthExceeded => "context_length_exceeded",
            Self::InvalidRequest => "invalid_request",
            Self::ModelNotFound => "model_not_found",
        }
    }

    /// Whether another candidate might do better.
    pub const fn lies_with_the_backend(self) -> bool {
        matches!(
            self,
            Self::BackendError | Self::BackendBusy | Self::BackendUnavailable | Self::ModelNotFound
        )
    }
}

impl Failure {
    /// A failure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            begun: true,
        }
    }

    /// A failure before anything was asked of a model.
    pub fn before_it_began(code: Code, message: impl Into<String>) -> Self {
        Self {
            begun: false,
            ..Self::new(code, message)
        }
    }
}

/// Usage from two counts.
pub(crate) fn usage(prompt: u32, completion: u32) -> Usage {
    Usage {
        prompt_tokens: TokenCount(prompt),
        completion_tokens: TokenCount(completion),
    }
}
