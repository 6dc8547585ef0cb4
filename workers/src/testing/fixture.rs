//! A record that a worker runs. The tests of the whole service read this file too.

use relay_schemas::{
    CacheFlags, CacheStatus, Caching, Candidate, Class, Decoding, Lane, Lease, Plan, Planning, Queueing,
    Request, TimestampMs, TokenCount, Verifier, Work,
};

/// Work for `model` in the pool `default`: greedy, 64 tokens at most, leased to the instance `w` of epoch 7.
pub fn work(model: &str, body: &str) -> Work {
    let now = TimestampMs::now();
    let deadline = now.plus_ms(60_000);
    let decoding = Decoding {
        profile: "test".to_owned(),
        max_tokens: TokenCount(64),
        temperature: 0.0,
        top_p: None,
        top_k: None,
        seed: None,
        stop: Vec::new(),
    };
    let plan = Plan {
        policy_version: "test@0".to_owned(),
        tier: "standard".to_owned(),
        candidates: vec![Candidate {
            pool: "default".to_owned(),
            model: model.to_owned(),
        }],
        decoding,
        lane_threshold_tokens: TokenCount(128),
        predicted_tokens: TokenCount(32),
        slo_ttft_ms: 1_000,
        deadline,
        cache: CacheFlags {
            exact: false,
            semantic: false,
            ttl_ms: 0,
        },
        verifier: Verifier::Off,
        signature: String::new(),
        plan_hash: String::new(),
    };
    Work {
        request: Request {
            request_id: "r-1".into(),
            tenant: "t-1".into(),
            class: Class::Interactive,
            model: model.to_owned(),
            operation: relay_schemas::Operation::Chat,
            body: body.to_owned(),
            request_hash: String::new(),
            stream: false,
            include_usage: false,
            prompt_tokens: TokenCount(5),
            requested_tokens: None,
            temperature: None,
            accepted_at: now,
            deadline,
            reply_to: None,
            idempotency_key: None,
            batch: None,
        },
        planning: Planning {
            plan,
            rules: Vec::new(),
            adjustments: Vec::new(),
            planned_at: now,
        },
        caching: Caching {
            key: String::new(),
            exact: CacheStatus::Off,
            provenance: None,
            looked_up_at: now,
        },
        queueing: Queueing {
            pool: "default".to_owned(),
            lane: Lane::Short,
            queued_at: now,
            dispatched_at: now,
            queue_wait_ms: 0,
            waiting_ahead: 0,
        },
        lease: Lease {
            worker: "w".into(),
            worker_epoch: 7,
            attempt: 1,
            scheduler_epoch: 3,
            granted_at: now,
        },
    }
}
