//! The `.avsc` files, made self-contained.
//!
//! Each file defines one type and names the others it uses. Readers elsewhere get one schema per record with
//! every named type inside, because a fingerprint must stand for the whole meaning of the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

macro_rules! avsc {
    ($($file:literal),* $(,)?) => {
        &[$(include_str!(concat!("../avsc/", $file, ".avsc"))),*]
    };
}

const FILES: &[&str] = avsc![
    "answer",
    "batch_ref",
    "batch_request",
    "batch_result",
    "batch_share",
    "cache_flags",
    "cache_status",
    "caching",
    "cancel",
    "candidate",
    "choice",
    "class",
    "condition_trace",
    "dead_letter",
    "dead_letter_closing",
    "decoding",
    "delta",
    "embedding",
    "fence_answer",
    "fence_query",
    "final",
    "finish_reason",
    "folded_offset",
    "frame",
    "hand_over",
    "in_flight",
    "key_answer",
    "key_claim",
    "key_query",
    "lane",
    "lease",
    "lease_entry",
    "message",
    "model_counter",
    "model_state",
    "model_status",
    "operation",
    "outcome",
    "outcome_status",
    "plan",
    "planned",
    "planning",
    "policy_body",
    "policy_status",
    "pool_status",
    "provenance",
    "public_model",
    "queueing",
    "ready",
    "replay_answer",
    "replay_query",
    "request",
    "requeued_position",
    "returned",
    "revoked",
    "rule_trace",
    "run",
    "scheduler_record",
    "scheduler_record_kind",
    "scheduler_snapshot",
    "schema_body",
    "service",
    "tenant_counter",
    "timings",
    "tool_call",
    "tool_call_delta",
    "usage",
    "verifier",
    "waiting_positions",
    "winner_answer",
    "winner_query",
    "work",
    "worker_status",
];

fn definitions() -> &'static BTreeMap<String, Value> {
    static PARSED: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let parse = |text: &&str| {
            let schema: Value =
                serde_json::from_str(text).expect("the .avsc files are compiled in and tested");
            let name = schema["name"].as_str().expect("every .avsc file names its type");
            (format!("relay.{name}"), schema)
        };
        FILES.iter().map(parse).collect()
    })
}

/// The self-contained schema of the record `name` (without namespace), as JSON text.
///
/// # Panics
/// If no `.avsc` file defines `name`; a test goes through all records.
pub fn self_contained(name: &str) -> String {
    let mut seen = BTreeSet::new();
    inline(&Value::String(format!("relay.{name}")), &mut seen).to_string()
}

/// Replaces the first mention of each named type by its definition, as Avro asks.
fn inline(schema: &Value, seen: &mut BTreeSet<String>) -> Value {
    match schema {
        Value::String(name) if name.starts_with("relay.") => {
            if !seen.insert(name.clone()) {
                return schema.clone();
            }
            let definition = definitions()
                .get(name)
                .expect("an .avsc file defines every name it uses");
            inline_fields(definition, seen)
        }
        Value::Array(branches) => branches.iter().map(|branch| inline(branch, seen)).collect(),
        Value::Object(_) => inline_fields(schema, seen),
        other => other.clone(),
    }
}

fn inline_fields(schema: &Value, seen: &mut BTreeSet<String>) -> Value {
    let mut schema = schema.clone();
    if let Some(items) = schema.get_mut("items") {
        *items = inline(items, seen);
    }
    for field in schema
        .get_mut("fields")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let inlined = inline(&field["type"], seen);
        field["type"] = inlined;
    }
    schema
}
