//! The request that a call or a batch line becomes. Pure.

use relay_api::request::{Defaults, Parsed, parse};
use relay_api::{Invalid, Limits};
use relay_control::subjects;
use relay_runner::Identity;
use relay_schemas::{BatchRef, Class, Operation, Request, RequestId, TenantId, TimestampMs, TokenCount};

use crate::ids;

/// What a body may ask for, and what it means that leaves something out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What is meant.
    pub defaults: Defaults,
    /// What is allowed.
    pub limits: Limits,
}

impl Rules {
    /// Checks a body.
    ///
    /// # Errors
    /// What is wrong, where, and how to mend it.
    pub fn parse(&self, operation: Operation, body: Vec<u8>) -> Result<Parsed, Invalid> {
        parse(operation, body, &self.defaults, &self.limits)
    }
}

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

/// The request of a call, called `request_id` and accepted `now` by the instance `identity`.
pub fn of_call(
    call: &Call,
    request_id: RequestId,
    parsed: Parsed,
    identity: &Identity,
    now: TimestampMs,
) -> Request {
    let reply_to = subjects::reply(
        &identity.instance,
        identity.epoch,
        &request_id,
        &parsed.request_hash,
    );
    Request {
        request_id,
        tenant: call.tenant.clone(),
        class: Class::Interactive,
        reply_to: Some(reply_to),
        idempotency_key: call.key.as_ref().map(|key| ids::sha256_hex(&[key.as_bytes()])),
        batch: None,
        deadline: now.plus_ms(call.deadline_ms),
        ..asked(parsed, now)
    }
}

/// The request of a batch line, accepted `now`. No client reads along, whatever the body says.
pub fn of_line(
    line: BatchRef,
    tenant: &TenantId,
    parsed: Parsed,
    deadline: TimestampMs,
    now: TimestampMs,
) -> Request {
    Request {
        request_id: ids::batch(tenant, &line.batch_id, &line.custom_id),
        tenant: tenant.clone(),
        batch: Some(line),
        stream: false,
        include_usage: false,
        deadline,
        ..asked(parsed, now)
    }
}

/// What the body says, accepted `now`; the rest is for the caller to fill in.
pub fn asked(parsed: Parsed, now: TimestampMs) -> Request {
    Request {
        request_id: "".into(),
        tenant: "".into(),
        class: Class::Batch,
        model: parsed.model,
        operation: parsed.operation,
        body: parsed.body,
        request_hash: parsed.request_hash,
        stream: parsed.stream,
        include_usage: parsed.include_usage,
        prompt_tokens: TokenCount(parsed.prompt_tokens),
        requested_tokens: parsed.requested_tokens.map(TokenCount),
        temperature: parsed.temperature,
        accepted_at: now,
        deadline: now,
        reply_to: None,
        idempotency_key: None,
        batch: None,
    }
}
