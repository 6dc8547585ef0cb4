//! Outcomes to store.

use std::sync::Arc;

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    Answer, BatchRef, CacheFlags, CacheStatus, Caching, Candidate, Class, ConditionTrace, Decoding, Lane,
    Lease, MicroUsd, Outcome, OutcomeStatus, Plan, Planning, Provenance, Queueing, Request, RequestId,
    RuleTrace, Run, Service, TimestampMs, TokenCount, Usage, Verifier, Work,
};
use relay_store::LoggedOutcome;

pub fn request(id: &str, tenant: &str) -> Request {
    Request {
        request_id: id.into(),
        tenant: tenant.into(),
        class: Class::Batch,
        model: "tiny".to_owned(),
        body: r#"{"messages":[{"content":"Grüße, \"Welt\" 😀"}]}"#.to_owned(),
        request_hash: "0123abcd".to_owned(),
        stream: true,
        include_usage: true,
        prompt_tokens: TokenCount(17),
        requested_tokens: Some(TokenCount(64)),
        temperature: Some(0.1 + 0.2),
        accepted_at: TimestampMs(1_700_000_000_000),
        deadline: TimestampMs(1_700_000_060_000),
        reply_to: Some("relay.reply.ingress-1.r".to_owned()),
        idempotency_key: Some("key".to_owned()),
        batch: Some(BatchRef {
            batch_id: "batch".to_owned(),
            custom_id: "line".to_owned(),
        }),
        ..relay_schemas::samples::request()
    }
}

fn planning() -> Planning {
    Planning {
        plan: Plan {
            policy_version: "default@sha256:00".to_owned(),
            tier: "small".to_owned(),
            candidates: vec![Candidate {
                pool: "cpu".to_owned(),
                model: "tiny".to_owned(),
            }],
            decoding: Decoding {
                profile: "greedy".to_owned(),
                max_tokens: TokenCount(64),
                temperature: 1.0 / 3.0,
                top_p: Some(0.95),
                top_k: Some(40),
                seed: Some(-7),
                stop: vec!["\n".to_owned()],
                max_tokens_unset: false,
                temperature_unset: false,
            },
            lane_threshold_tokens: TokenCount(128),
            predicted_tokens: TokenCount(32),
            slo_ttft_ms: 500,
            deadline: TimestampMs(1_700_000_030_000),
            cache: CacheFlags {
                exact: true,
                semantic: false,
                ttl_ms: 60_000,
            },
            verifier: Verifier::Off,
            signature: "signature".to_owned(),
            plan_hash: "hash".to_owned(),
        },
        rules: vec![RuleTrace {
            rule: "everyone".to_owned(),
            matched: true,
            applied: true,
            conditions: vec![ConditionTrace {
                field: "tenant".to_owned(),
                expected: "*".to_owned(),
                seen: "acme".to_owned(),
                held: true,
            }],
        }],
        adjustments: vec!["max_tokens 4096 → 64".to_owned()],
        handovers: Vec::new(),
        planned_at: TimestampMs(1_700_000_000_002),
    }
}

fn work(id: &str, tenant: &str) -> Work {
    Work {
        request: request(id, tenant).into(),
        planning: planning().into(),
        caching: Arc::new(Caching {
            key: "cafe".to_owned(),
            exact: CacheStatus::Miss,
            provenance: Some(Provenance {
                level: "exact".to_owned(),
                source_request_id: "source".into(),
                source_topic: "relay.outcomes.v1".to_owned(),
                source_partition: 3,
                source_offset: 99,
                filled_at: TimestampMs(1_699_999_999_999),
                policy_version: "default@sha256:00".to_owned(),
                model: "tiny".to_owned(),
                model_version: "v1".to_owned(),
            }),
            looked_up_at: TimestampMs(1_700_000_000_003),
        }),
        queueing: Queueing {
            pool: "cpu".to_owned(),
            lane: Lane::Long,
            queued_at: TimestampMs(1_700_000_000_004),
            dispatched_at: TimestampMs(1_700_000_000_024),
            queue_wait_ms: 20,
            waiting_ahead: 5,
        },
        lease: Lease {
            worker: "worker-1".into(),
            worker_epoch: 1_699_000_000_000,
            attempt: 2,
            scheduler_epoch: 12,
            granted_at: TimestampMs(1_700_000_000_024),
        },
    }
}

fn run(service: Service) -> Run {
    Run {
        service,
        instance: "instance-1".into(),
        epoch: 1_699_000_000_000,
        attempt: 2,
    }
}

/// Everything that can be known of a request.
pub fn complete(id: &str, answer: &str) -> Outcome {
    let ending = Ending {
        answer: Some(Arc::new(Answer {
            model: "tiny-v1".to_owned(),
            model_version: "v1".to_owned(),
            ..relay_schemas::samples::answer(answer)
        })),
        usage: Usage {
            prompt_tokens: TokenCount(17),
            completion_tokens: TokenCount(u32::MAX),
        },
        cost_micro_usd: MicroUsd(1_234),
        ttft_ms: Some(40),
        backend_latency_ms: Some(80),
        compute_ms: 70,
        ..Ending::of(OutcomeStatus::Completed)
    };
    end(
        Known::Work(&work(id, "acme")),
        run(Service::Workers),
        ending,
        TimestampMs(1_700_000_000_120),
    )
}

/// Only what headers tell.
pub fn bare(id: &str, tenant: &str, status: OutcomeStatus, ended_at: i64) -> Outcome {
    let service = match status {
        OutcomeStatus::Failed => Service::Runner,
        _ => Service::Scheduler,
    };
    let ending = Ending {
        retry_after_ms: Some(250),
        ..Ending::because(status, "code", "a reason for people")
    };
    let (id, tenant) = (RequestId::new(id), tenant.into());
    end(
        Known::Headers(&id, &tenant),
        run(service),
        ending,
        TimestampMs(ended_at),
    )
}

/// `outcome` at a place in the log.
pub fn at(partition: i32, offset: i64, outcome: Outcome) -> LoggedOutcome {
    LoggedOutcome {
        outcome: outcome.into(),
        partition,
        offset,
        traceparent: None,
    }
}

/// A small outcome whose text tells which record it was.
pub fn small(id: &str, partition: i32, offset: i64) -> LoggedOutcome {
    let mut outcome = bare(id, "acme", OutcomeStatus::Failed, 1_000 + offset);
    outcome.message = Some(format!("{partition}/{offset}"));
    at(partition, offset, outcome)
}
