//! The execution plan and the trace of why it was chosen. Field by field: the schemas of the same names.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Request, TimestampMs, TokenCount};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    pub pool: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    pub profile: String,
    pub max_tokens: TokenCount,
    pub temperature: f64,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
    pub seed: Option<i64>,
    pub stop: Vec<String>,
    // Rows of tables from before these came have neither.
    #[serde(default)]
    pub max_tokens_unset: bool,
    #[serde(default)]
    pub temperature_unset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFlags {
    pub exact: bool,
    pub semantic: bool,
    pub ttl_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verifier {
    Off,
    After,
    Inline,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub policy_version: String,
    pub tier: String,
    pub candidates: Vec<Candidate>,
    pub decoding: Decoding,
    pub lane_threshold_tokens: TokenCount,
    pub predicted_tokens: TokenCount,
    pub slo_ttft_ms: i64,
    pub deadline: TimestampMs,
    pub cache: CacheFlags,
    pub verifier: Verifier,
    pub signature: String,
    pub plan_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionTrace {
    pub field: String,
    pub expected: String,
    pub seen: String,
    pub held: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTrace {
    pub rule: String,
    pub matched: bool,
    pub applied: bool,
    pub conditions: Vec<ConditionTrace>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    pub from_pool: String,
    pub to_pool: String,
    pub code: String,
    pub message: String,
    pub attempts: u32,
    pub handed_over_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planning {
    pub plan: Plan,
    pub rules: Vec<RuleTrace>,
    pub adjustments: Vec<String>,
    pub handovers: Vec<HandOver>,
    pub planned_at: TimestampMs,
}

/// What the planner hands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub request: Arc<Request>,
    pub planning: Arc<Planning>,
}
