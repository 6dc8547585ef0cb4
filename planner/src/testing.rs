//! What the tests of several modules share.

use relay_schemas::{Request, RequestId, TenantId, TimestampMs, TokenCount};

use crate::policy::Policy;

/// The sample policy, as shipped.
pub(crate) fn sample() -> Policy {
    Policy::parse(include_str!("../../deploy/policy.yaml")).expect("the sample policy is valid")
}

/// A plain request for `relay-chat` with this body.
pub(crate) fn request_with(body: &str) -> Request {
    Request {
        request_id: RequestId::new("request-1"),
        tenant: TenantId::new("acme"),
        model: "relay-chat".to_owned(),
        body: body.to_owned(),
        request_hash: "a".repeat(64),
        stream: true,
        prompt_tokens: TokenCount(12),
        accepted_at: TimestampMs(1_000_000),
        deadline: TimestampMs(2_000_000),
        reply_to: Some("relay.reply.ingress-1.request-1".to_owned()),
        ..relay_schemas::samples::request()
    }
}
