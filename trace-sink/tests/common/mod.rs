//! Outcomes for the sink's tests.

use std::sync::Arc;

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    Answer, CacheFlags, CacheStatus, Caching, Candidate, ConditionTrace, Decoding, Lane, Lease, MicroUsd,
    Outcome, OutcomeStatus, Plan, Planning, Queueing, Request, RuleTrace, Run, Service, TimestampMs,
    TokenCount, Usage, Verifier, Work,
};

/// Says `text` wherever a client or a model can say something.
pub fn complete(id: &str, tenant: &str, text: &str, ended_at: i64) -> Outcome {
    let accepted_at = ended_at - 640;
    let at = |ms: i64| TimestampMs(accepted_at + ms);
    let work = Work {
        request: Arc::new(Request {
            request_id: id.into(),
            tenant: tenant.into(),
            model: text.to_owned(),
            body: serde_json::json!({ "messages": [{ "role": "user", "content": text }] }).to_string(),
            request_hash: "9f86d081884c7d65".to_owned(),
            stream: true,
            prompt_tokens: TokenCount(21),
            accepted_at: at(0),
            deadline: at(60_000),
            idempotency_key: Some(text.to_owned()),
            ..relay_schemas::samples::request()
        }),
        planning: planning(text, at(4)).into(),
        caching: Arc::new(Caching {
            key: "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea".to_owned(),
            exact: CacheStatus::Miss,
            provenance: None,
            looked_up_at: at(9),
        }),
        queueing: Queueing {
            pool: "cpu".to_owned(),
            lane: Lane::Short,
            queued_at: at(12),
            dispatched_at: at(190),
            queue_wait_ms: 178,
            waiting_ahead: 14,
        },
        lease: Lease {
            worker: "worker-1".into(),
            worker_epoch: 1_699_000_000_000,
            attempt: 1,
            scheduler_epoch: 12,
            granted_at: at(190),
        },
    };
    let ending = Ending {
        answer: Some(Arc::new(Answer {
            model: text.to_owned(),
            model_version: "v1".to_owned(),
            ..relay_schemas::samples::answer(text)
        })),
        usage: Usage {
            prompt_tokens: TokenCount(21),
            completion_tokens: TokenCount(87),
        },
        cost_micro_usd: MicroUsd(310),
        ttft_ms: Some(260),
        backend_latency_ms: Some(430),
        compute_ms: 395,
        ..Ending::of(OutcomeStatus::Completed)
    };
    end(
        Known::Work(&work),
        run(Service::Workers, 1),
        ending,
        TimestampMs(ended_at),
    )
}

fn planning(text: &str, planned_at: TimestampMs) -> Planning {
    let condition = |field: &str, expected: &str, seen: &str, held| ConditionTrace {
        field: field.to_owned(),
        expected: expected.to_owned(),
        seen: seen.to_owned(),
        held,
    };
    let rule = |rule: &str, applied, conditions| RuleTrace {
        rule: rule.to_owned(),
        matched: applied,
        applied,
        conditions,
    };
    Planning {
        plan: Plan {
            policy_version: "default@2c26b46b68ffc68ff99b453c1d30413413422d70".to_owned(),
            tier: "small".to_owned(),
            candidates: vec![Candidate {
                pool: "cpu".to_owned(),
                model: "relay-chat".to_owned(),
            }],
            decoding: Decoding {
                profile: "balanced".to_owned(),
                max_tokens: TokenCount(256),
                temperature: 0.7,
                top_p: Some(0.95),
                top_k: None,
                seed: None,
                stop: Vec::new(),
                max_tokens_unset: false,
                temperature_unset: false,
            },
            lane_threshold_tokens: TokenCount(128),
            predicted_tokens: TokenCount(90),
            slo_ttft_ms: 500,
            deadline: planned_at.plus_ms(30_000),
            cache: CacheFlags {
                exact: true,
                semantic: false,
                ttl_ms: 3_600_000,
            },
            verifier: Verifier::Off,
            signature: "fcde2b2edba56bf408601fb721fe9b5c".to_owned(),
            plan_hash: "18ac3e7343f016890c510e93f9352611".to_owned(),
        },
        rules: vec![
            rule(
                "vip tenants",
                false,
                vec![condition("tenant", "one of globex, initech", text, false)],
            ),
            rule(
                "short chats",
                true,
                vec![
                    condition("prompt_tokens", "at most 512", "21", true),
                    condition("stream", "true", "true", true),
                ],
            ),
            rule("everyone", true, Vec::new()),
        ],
        adjustments: vec!["max_tokens 4096 → 256 (bound of “balanced”)".to_owned()],
        handovers: Vec::new(),
        planned_at,
    }
}

/// Known by its headers only, with a reason that tells it apart.
pub fn bare(id: &str, status: OutcomeStatus, reason: &str, ended_at: i64) -> Outcome {
    let service = match status {
        OutcomeStatus::Failed => Service::Runner,
        _ => Service::Scheduler,
    };
    let ending = Ending::because(status, "worker_lost", reason);
    end(
        Known::Headers(&id.into(), &"acme".into()),
        run(service, 0),
        ending,
        TimestampMs(ended_at),
    )
}

fn run(service: Service, attempt: u32) -> Run {
    Run {
        service,
        instance: "instance-1".into(),
        epoch: 1_699_000_000_000,
        attempt,
    }
}
