//! Records for tests.

use std::sync::Arc;

use relay_scheduler::core::{At, Offer};
use relay_schemas::{
    CacheFlags, CacheStatus, Caching, Candidate, Class, Decoding, Plan, Planning, Ready, Request,
    TimestampMs, TokenCount, Verifier, WorkerStatus,
};

/// A request to be offered.
#[derive(Debug, Clone)]
pub struct Spec {
    pub id: String,
    pub tenant: String,
    pub class: Class,
    pub long: bool,
    pub stream: bool,
    pub model: String,
    pub prompt: u32,
    pub output: u32,
    pub deadline: i64,
    /// A model of the same pool, if that one is not to be had.
    pub second: Option<String>,
    /// A pool behind the one at hand.
    pub fallback: Option<String>,
}

impl Spec {
    pub fn new(id: impl Into<String>, tenant: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            tenant: tenant.into(),
            class: Class::Interactive,
            long: false,
            stream: false,
            model: "m".to_owned(),
            prompt: 10,
            output: 20,
            deadline: 1_000_000_000,
            second: None,
            fallback: None,
        }
    }

    pub fn ready(&self) -> Ready {
        let interactive = self.class == Class::Interactive;
        let request = Request {
            request_id: self.id.as_str().into(),
            tenant: self.tenant.as_str().into(),
            class: self.class,
            model: self.model.clone(),
            body: "{}".to_owned(),
            request_hash: "0".repeat(64),
            stream: self.stream,
            prompt_tokens: TokenCount(self.prompt),
            accepted_at: TimestampMs(0),
            deadline: TimestampMs(self.deadline),
            reply_to: interactive.then(|| format!("relay.reply.i1-1.{}", self.id)),
            ..relay_schemas::samples::request()
        };
        Ready {
            request: request.into(),
            planning: self.planning().into(),
            caching: Arc::new(Caching {
                key: "k".to_owned(),
                exact: CacheStatus::Miss,
                provenance: None,
                looked_up_at: TimestampMs(0),
            }),
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidates = [
            Some(("default", self.model.as_str())),
            self.second.as_deref().map(|model| ("default", model)),
            self.fallback.as_deref().map(|pool| (pool, self.model.as_str())),
        ];
        let candidate = |(pool, model): (&str, &str)| Candidate {
            pool: pool.to_owned(),
            model: model.to_owned(),
        };
        candidates.into_iter().flatten().map(candidate).collect()
    }

    fn planning(&self) -> Planning {
        let plan = Plan {
            policy_version: "p@0".to_owned(),
            tier: "standard".to_owned(),
            candidates: self.candidates(),
            decoding: Decoding {
                profile: "default".to_owned(),
                max_tokens: TokenCount(self.output),
                temperature: 0.0,
                top_p: None,
                top_k: None,
                seed: None,
                stop: Vec::new(),
                max_tokens_unset: false,
                temperature_unset: false,
            },
            lane_threshold_tokens: TokenCount(100),
            predicted_tokens: TokenCount(if self.long { 101 } else { 100 }),
            slo_ttft_ms: 1_000,
            deadline: TimestampMs(self.deadline),
            cache: CacheFlags {
                exact: false,
                semantic: false,
                ttl_ms: 0,
            },
            verifier: Verifier::Off,
            signature: "s".to_owned(),
            plan_hash: "h".to_owned(),
        };
        Planning {
            plan,
            rules: Vec::new(),
            adjustments: Vec::new(),
            handovers: Vec::new(),
            planned_at: TimestampMs(0),
        }
    }

    pub fn offer(&self, offset: i64, now: i64) -> Offer {
        Offer {
            ready: self.ready(),
            at: At { partition: 0, offset },
            bytes: 100,
            queued_at: TimestampMs(now),
            trace: None,
        }
    }
}

/// An idle worker that runs model `m`.
pub fn worker(name: &str, epoch: i64, short: u32, long: u32) -> WorkerStatus {
    WorkerStatus {
        worker: name.into(),
        epoch,
        pool: "default".to_owned(),
        models: vec!["m".to_owned()],
        capacity: Vec::new(),
        seq: 0,
        short_partitions: vec![0],
        long_partitions: vec![0],
        short_slots: short,
        long_slots: long,
        in_flight: Vec::new(),
        returned: Vec::new(),
        draining: false,
        sent_at: TimestampMs(0),
    }
}
