//! Version N+1 of a request, for tests of two versions side by side: it has `priority`, and no `idempotency_key` any more.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    BatchRef, Class, Codec, Operation, Record, Request, RequestId, SchemaBody, TenantId, TimestampMs,
    TokenCount, hex,
};

/// What a record of version N is read with.
pub const PRIORITY: i64 = 4;

/// A request as version N+1 has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of Request, and one more")]
pub struct NextRequest {
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
    pub batch: Option<BatchRef>,
    pub priority: i64,
}

impl NextRequest {
    /// A request with a priority.
    pub fn of(request: Request, priority: i64) -> Self {
        Self {
            request_id: request.request_id,
            tenant: request.tenant,
            class: request.class,
            model: request.model,
            operation: request.operation,
            body: request.body,
            request_hash: request.request_hash,
            stream: request.stream,
            include_usage: request.include_usage,
            prompt_tokens: request.prompt_tokens,
            requested_tokens: request.requested_tokens,
            temperature: request.temperature,
            accepted_at: request.accepted_at,
            deadline: request.deadline,
            reply_to: request.reply_to,
            batch: request.batch,
            priority,
        }
    }

    /// What a process of version N+1 announces at its start.
    pub fn announced() -> SchemaBody {
        let codec = Self::codec();
        SchemaBody {
            fingerprint: hex(codec.fingerprint()),
            schema: codec.json().to_owned(),
        }
    }
}

impl Record for NextRequest {
    const NAME: &'static str = "Request";

    fn codec() -> &'static Codec {
        static CODEC: OnceLock<Codec> = OnceLock::new();
        CODEC.get_or_init(|| next_version(Request::codec()))
    }
}

/// The schema that a record which holds a request has in version N+1.
///
/// # Panics
/// If it holds none.
pub fn next_version(now: &Codec) -> Codec {
    let mut schema: Value = serde_json::from_str(now.json()).expect("a schema is JSON");
    assert!(change_request(&mut schema), "it holds a request");
    Codec::of(schema.to_string())
}

/// Changes the request's record, wherever it stands.
fn change_request(schema: &mut Value) -> bool {
    if schema["name"] == "Request"
        && let Some(fields) = schema["fields"].as_array_mut()
    {
        fields.retain(|field| field["name"] != "idempotency_key");
        fields.push(json!({"name": "priority", "type": "long", "doc": "New.", "default": PRIORITY}));
        return true;
    }
    match schema {
        Value::Array(items) => items.iter_mut().any(change_request),
        Value::Object(items) => items.values_mut().any(change_request),
        _ => false,
    }
}
