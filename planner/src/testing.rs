//! What the tests of several modules share.

use relay_schemas::{Class, Request, RequestId, TenantId, TimestampMs, TokenCount};

use crate::policy::Policy;

/// The sample policy, as shipped.
pub(crate) fn sample() -> Policy {
    Policy::parse(include_str!("../../deploy/policy.yaml")).expect("the sample policy is valid")
}

/// A plain request for `relay-chat` with this canonical JSON.
pub(crate) fn request_with(canonical: &str) -> Request {
    Request {
        request_id: RequestId::new("request-1"),
        tenant: TenantId::new("acme"),
        class: Class::Interactive,
        model: "relay-chat".to_owned(),
        operation: relay_schemas::Operation::Chat,
        body: canonical.to_owned(),
        request_hash: "a".repeat(64),
        stream: true,
        include_usage: false,
        prompt_tokens: TokenCount(12),
        requested_tokens: None,
        temperature: None,
        accepted_at: TimestampMs(1_000_000),
        deadline: TimestampMs(2_000_000),
        reply_to: Some("relay.reply.ingress-1.request-1".to_owned()),
        idempotency_key: None,
        batch: None,
    }
}
