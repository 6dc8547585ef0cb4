//! The request that a call becomes. Pure.

use relay_control::subjects;
use relay_runner::Identity;
use relay_schemas::{Class, Operation, Request, TenantId, TimestampMs};

use crate::canonical::Chat;
use crate::ids;

/// A call: what its headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The tenant that asks.
    pub tenant: TenantId,
    /// The deadline, milliseconds from now.
    pub deadline_ms: i64,
    /// The idempotency key.
    pub key: Option<String>,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// What the instance `identity` accepts `now`.
pub fn of(call: &Call, chat: Chat, identity: &Identity, now: TimestampMs) -> Request {
    let request_id = match &call.key {
        Some(key) => ids::keyed(&call.tenant, key),
        None => ids::fresh(),
    };
    Request {
        reply_to: Some(subjects::reply(&identity.instance, identity.epoch, &request_id)),
        request_id,
        tenant: call.tenant.clone(),
        class: Class::Interactive,
        model: chat.model,
        operation: Operation::Chat,
        body: chat.canonical,
        request_hash: chat.request_hash,
        stream: chat.stream,
        include_usage: chat.include_usage,
        prompt_tokens: chat.prompt_tokens,
        requested_tokens: chat.requested_tokens,
        temperature: chat.temperature,
        accepted_at: now,
        deadline: now.plus_ms(call.deadline_ms),
        idempotency_key: call.key.as_ref().map(|key| ids::sha256_hex(&[key.as_bytes()])),
        batch: None,
    }
}
