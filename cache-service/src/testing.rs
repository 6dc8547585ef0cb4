//! What the tests of several modules share.

use relay_bus::{Partition, Position};
use relay_schemas::{
    Answer, CacheFlags, Candidate, Decoding, InstanceId, MicroUsd, Outcome, OutcomeStatus, Plan, Planned,
    Planning, Provenance, Request, RequestId, Run, Service, TenantId, TimestampMs, Timings, TokenCount,
    Usage, Verifier,
};

use crate::entry::{Entry, Owner};

/// A request of `tenant`, accepted now for a minute, planned greedily with the exact cache on.
pub(crate) fn planned(tenant: &str, hash: &str) -> Planned {
    let now = TimestampMs::now();
    let request = Request {
        request_id: RequestId::new(format!("request-{tenant}-{hash}")),
        tenant: TenantId::new(tenant),
        model: "m".to_owned(),
        body: "{}".to_owned(),
        request_hash: hash.to_owned(),
        prompt_tokens: TokenCount(3),
        temperature: Some(0.0),
        accepted_at: now,
        deadline: now.plus_ms(60_000),
        reply_to: Some("relay.reply.ingress-1.request".to_owned()),
        ..relay_schemas::samples::request()
    };
    let plan = Plan {
        policy_version: "p@1".to_owned(),
        tier: "standard".to_owned(),
        candidates: ["m", "fallback"]
            .map(|model| Candidate {
                pool: "default".to_owned(),
                model: model.to_owned(),
            })
            .to_vec(),
        decoding: Decoding {
            profile: "chat".to_owned(),
            max_tokens: TokenCount(10),
            temperature: 0.0,
            top_p: None,
            top_k: None,
            seed: None,
            stop: Vec::new(),
        },
        lane_threshold_tokens: TokenCount(64),
        predicted_tokens: TokenCount(10),
        slo_ttft_ms: 1_000,
        deadline: now.plus_ms(60_000),
        cache: CacheFlags {
            exact: true,
            semantic: false,
            ttl_ms: 60_000,
        },
        verifier: Verifier::Off,
        signature: "signature".to_owned(),
        plan_hash: "hash".to_owned(),
    };
    let planning = Planning {
        plan,
        rules: Vec::new(),
        adjustments: Vec::new(),
        handovers: Vec::new(),
        planned_at: now,
    };
    Planned { request, planning }
}

/// A completed outcome of it, all that the cache wants.
pub(crate) fn completed(planned: &Planned, text: &str) -> Outcome {
    Outcome {
        request_id: planned.request.request_id.clone(),
        tenant: planned.request.tenant.clone(),
        status: OutcomeStatus::Completed,
        code: None,
        message: None,
        retry_after_ms: None,
        run: Run {
            service: Service::Workers,
            instance: InstanceId::new("worker-1"),
            epoch: 1,
            attempt: 1,
        },
        request: Some(planned.request.clone()),
        planning: Some(planned.planning.clone()),
        caching: None,
        queueing: None,
        lease: None,
        answer: Some(Answer {
            model: "m".to_owned(),
            model_version: "v1".to_owned(),
            ..relay_schemas::samples::answer(text)
        }),
        usage: Usage {
            prompt_tokens: TokenCount(3),
            completion_tokens: TokenCount(2),
        },
        cost_micro_usd: MicroUsd(7),
        timings: Timings::default(),
        ended_at: TimestampMs::now(),
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
    let answer = Answer {
        model: "m".to_owned(),
        model_version: "v1".to_owned(),
        ..relay_schemas::samples::answer(text)
    };
    let provenance = Provenance {
        level: String::new(),
        source_request_id: RequestId::new("source"),
        source_topic: "relay.outcomes.v1".to_owned(),
        source_partition: 1,
        source_offset: 2,
        filled_at: produced_at,
        policy_version: "p@1".to_owned(),
        model: "m".to_owned(),
        model_version: "v1".to_owned(),
    };
    Entry::new(owner, answer, Usage::default(), provenance, (produced_at, ttl_ms))
}

/// Whose it is.
pub(crate) fn owner(tenant: &str, request_hash: &str, signature: &str) -> Owner {
    Owner {
        tenant: TenantId::new(tenant),
        request_hash: request_hash.to_owned(),
        signature: signature.to_owned(),
    }
}
