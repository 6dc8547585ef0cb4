//! The accepted request, as every later record carries it.

use serde::{Deserialize, Serialize};

use crate::{InstanceId, RequestId, TenantId, TimestampMs, TokenCount};

/// Whether somebody waits for the answer or collects it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody waits.
    Interactive,
    /// Collected later.
    Batch,
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the services are named in docs/ARCHITECTURE.md")]
pub enum Service {
    Ingress,
    Planner,
    CacheService,
    Scheduler,
    Workers,
    TraceSink,
    /// The stage runner of any service, when it gives a record up as a dead letter.
    Runner,
}

impl Service {
    /// Its name as metrics, consumer groups and crash points spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Planner => "planner",
            Self::CacheService => "cache-service",
            Self::Scheduler => "scheduler",
            Self::Workers => "workers",
            Self::TraceSink => "trace-sink",
            Self::Runner => "runner",
        }
    }
}

/// Which operation of the HTTP API was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
    /// `/v1/embeddings`.
    Embedding,
}

impl Operation {
    /// The word that records and metrics have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
        }
    }
}

/// One run of one request by one instance; a client follows only one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// Who ran it.
    pub service: Service,
    /// Which instance.
    pub instance: InstanceId,
    /// When that instance started; tells it from its predecessor of the same name.
    pub epoch: i64,
    /// The lease's attempt, from 1; 0 where no lease is involved.
    pub attempt: u32,
}

/// Which line of which batch a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchRef {
    /// The batch.
    pub batch_id: String,
    /// The line.
    pub custom_id: String,
}

/// A normalised, durably accepted request. Field by field: `avsc/request.avsc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "documented field by field in the schema")]
pub struct Request {
    pub request_id: RequestId,
    pub tenant: TenantId,
    pub class: Class,
    pub model: String,
    pub operation: Operation,
    pub body: String,
    pub request_hash: String,
    pub stream: bool,
    pub include_usage: bool,
    pub prompt_tokens: TokenCount,
    pub requested_tokens: Option<TokenCount>,
    pub temperature: Option<f64>,
    pub accepted_at: TimestampMs,
    pub deadline: TimestampMs,
    pub reply_to: Option<String>,
    pub idempotency_key: Option<String>,
    pub batch: Option<BatchRef>,
}
