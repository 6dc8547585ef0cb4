//! What the tests of several modules share.

use std::sync::Arc;

use relay_bus::{Partition, Position};
use relay_schemas::{Answer, Outcome, Planned, Provenance, RequestId, TenantId, TimestampMs, Usage, samples};

use crate::entry::{Entry, Owner};

/// When everything here happens.
pub(crate) const NOW: TimestampMs = TimestampMs(samples::ACCEPTED_AT.0 + 100);

/// A request of `tenant`, planned with the exact cache on and a second model to fall back to.
pub(crate) fn planned(tenant: &str, hash: &str) -> Planned {
    let mut planned = samples::planned();
    let (request, plan) = (
        Arc::make_mut(&mut planned.request),
        &mut Arc::make_mut(&mut planned.planning).plan,
    );
    request.request_id = RequestId::new(format!("request-{tenant}-{hash}"));
    request.tenant = TenantId::new(tenant);
    hash.clone_into(&mut request.request_hash);
    request.reply_to = Some("relay.reply.ingress-1.request".to_owned());
    plan.candidates.push(samples::candidate("fallback"));
    plan.cache.exact = true;
    planned
}

/// A completed outcome of it, all that the cache wants.
pub(crate) fn completed(planned: &Planned, text: &str) -> Outcome {
    Outcome {
        request_id: planned.request.request_id.clone(),
        tenant: planned.request.tenant.clone(),
        request: Some(planned.request.clone()),
        planning: Some(planned.planning.clone()),
        answer: Some(samples::answer(text).into()),
        ended_at: NOW,
        ..samples::outcome()
    }
}

/// Somewhere in `topic`.
pub(crate) fn position(topic: &str, offset: i64) -> Position {
    Position {
        partition: Partition::new(topic, 0),
        offset,
    }
}

/// An entry of `owner`, produced at `produced_at`.
pub(crate) fn entry(owner: Owner, text: &str, produced_at: TimestampMs, ttl_ms: i64) -> Entry {
    entry_of(owner, samples::answer(text), produced_at, ttl_ms)
}

/// The same of a whole answer.
pub(crate) fn entry_of(owner: Owner, answer: Answer, produced_at: TimestampMs, ttl_ms: i64) -> Entry {
    let provenance = Provenance {
        level: String::new(),
        source_request_id: RequestId::new("source"),
        source_topic: "relay.outcomes.v1".to_owned(),
        source_partition: 1,
        source_offset: 2,
        filled_at: produced_at,
        policy_version: "p@1".to_owned(),
        model: answer.model.clone(),
        model_version: answer.model_version.clone(),
    };
    Entry::new(
        owner,
        answer.into(),
        Usage::default(),
        provenance,
        (produced_at, ttl_ms),
    )
}

/// Whose it is.
pub(crate) fn owner(tenant: &str, request_hash: &str, signature: &str) -> Owner {
    Owner {
        tenant: TenantId::new(tenant),
        request_hash: request_hash.to_owned(),
        signature: signature.to_owned(),
    }
}
