//! What is known of a request, as names and what they say. Pure.

use std::collections::BTreeMap;

use relay_schemas::{Outcome, TimestampMs};
use relay_store::{Asked, LoggedOutcome};
use serde::Serialize;

use super::time::{duration, instant};

/// A name and what it says.
#[derive(Debug, Serialize)]
pub(super) struct Fact(&'static str, String);

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

/// A schema's own word for a value.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn words(metadata: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = metadata
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    pairs.join(", ")
}

pub(super) fn facts(logged: &LoggedOutcome) -> Vec<Fact> {
    let Outcome {
        request,
        run,
        usage,
        timings,
        ..
    } = &*logged.outcome;
    let request = request.as_deref();
    let asked = Asked::of(request);
    let accepted = request.map(|request| instant(request.accepted_at));
    vec![
        Fact("tenant", logged.outcome.tenant.to_string()),
        Fact(
            "model asked for",
            or_dash(request.map(|request| request.model.as_str())),
        ),
        Fact(
            "model that ran",
            or_dash(logged.outcome.answer.as_ref().map(|answer| answer.model.as_str())),
        ),
        Fact("user", or_dash(asked.user)),
        Fact("metadata", or_dash(asked.metadata.as_ref().map(words))),
        Fact("traceparent", or_dash(logged.traceparent.as_deref())),
        Fact("class", or_dash(request.map(|request| word(&request.class)))),
        Fact(
            "streamed",
            or_dash(request.map(|request| if request.stream { "yes" } else { "no" })),
        ),
        Fact("accepted (UTC)", or_dash(accepted)),
        Fact("ended (UTC)", instant(logged.outcome.ended_at)),
        Fact(
            "deadline (UTC)",
            or_dash(request.map(|request| instant(request.deadline))),
        ),
        Fact("latency", duration(Some(timings.latency_ms))),
        Fact("time to first token", duration(timings.ttft_ms)),
        Fact("time in the backend", duration(timings.backend_latency_ms)),
        Fact("compute", duration(Some(timings.compute_ms))),
        Fact(
            "tokens in / out",
            format!("{} / {}", usage.prompt_tokens.0, usage.completion_tokens.0),
        ),
        Fact("cost", format!("{} µUSD", logged.outcome.cost_micro_usd.0)),
        Fact(
            "ended by",
            format!(
                "{} {} (epoch {}, attempt {})",
                word(&run.service),
                run.instance,
                run.epoch,
                run.attempt
            ),
        ),
        Fact(
            "lies in",
            format!(
                "relay.outcomes.v1, partition {}, offset {}",
                logged.partition, logged.offset
            ),
        ),
        Fact(
            "request hash",
            or_dash(request.map(|request| request.request_hash.as_str())),
        ),
        Fact(
            "idempotency key",
            or_dash(request.and_then(|request| request.idempotency_key.as_deref())),
        ),
        Fact(
            "batch line",
            or_dash(
                request
                    .and_then(|request| request.batch.as_ref())
                    .map(|batch| format!("{} / {}", batch.batch_id, batch.custom_id)),
            ),
        ),
    ]
}

pub(super) fn plan_facts(outcome: &Outcome) -> Vec<Fact> {
    let Some(planning) = &outcome.planning else {
        return Vec::new();
    };
    let plan = &planning.plan;
    let candidates: Vec<String> = plan
        .candidates
        .iter()
        .map(|candidate| format!("{} on {}", candidate.model, candidate.pool))
        .collect();
    let decoding = &plan.decoding;
    vec![
        Fact("policy", plan.policy_version.clone()),
        Fact("tier", plan.tier.clone()),
        Fact("candidates", candidates.join(", ")),
        Fact(
            "decoding",
            format!(
                "{}: max_tokens {}, temperature {}",
                decoding.profile,
                or_unset(decoding.max_tokens.0, decoding.max_tokens_unset),
                or_unset(decoding.temperature, decoding.temperature_unset)
            ),
        ),
        Fact(
            "top_p / top_k / seed",
            format!(
                "{} / {} / {}",
                or_dash(decoding.top_p),
                or_dash(decoding.top_k),
                or_dash(decoding.seed)
            ),
        ),
        Fact(
            "predicted length",
            format!(
                "{} tokens; long from {}",
                plan.predicted_tokens.0, plan.lane_threshold_tokens.0
            ),
        ),
        Fact("SLO, first token", duration(Some(plan.slo_ttft_ms))),
        Fact("deadline (UTC)", instant(plan.deadline)),
        Fact(
            "cache",
            format!(
                "exact {}, semantic {}, kept {}",
                on_off(plan.cache.exact),
                on_off(plan.cache.semantic),
                duration(Some(plan.cache.ttl_ms))
            ),
        ),
        Fact("verifier", word(&plan.verifier)),
        Fact("signature", plan.signature.clone()),
        Fact("plan hash", plan.plan_hash.clone()),
    ]
}

/// An endpoint is not sent what is unset; models of Relay's own take the value for it.
fn or_unset(value: impl std::fmt::Display, unset: bool) -> String {
    if unset {
        format!("unset (own models: {value})")
    } else {
        value.to_string()
    }
}

const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

pub(super) fn cache_facts(outcome: &Outcome) -> Vec<Fact> {
    let Some(caching) = &outcome.caching else {
        return Vec::new();
    };
    let mut facts = vec![
        Fact("exact lookup", word(&caching.exact)),
        Fact("key", caching.key.clone()),
        Fact("looked up (UTC)", instant(caching.looked_up_at)),
    ];
    if let Some(from) = &caching.provenance {
        let place = format!(
            "{}, partition {}, offset {}",
            from.source_topic, from.source_partition, from.source_offset
        );
        facts.extend([
            Fact("level", from.level.clone()),
            Fact("source request", from.source_request_id.to_string()),
            Fact("source record", place),
            Fact("filled (UTC)", instant(from.filled_at)),
            Fact("under policy", from.policy_version.clone()),
            Fact("by model", format!("{} {}", from.model, from.model_version)),
        ]);
    }
    facts
}

pub(super) fn queue_facts(outcome: &Outcome) -> Vec<Fact> {
    let mut facts = Vec::new();
    let at = |at: TimestampMs| instant(at);
    if let Some(queueing) = &outcome.queueing {
        facts.extend([
            Fact("pool", queueing.pool.clone()),
            Fact("lane", word(&queueing.lane)),
            Fact("queued (UTC)", at(queueing.queued_at)),
            Fact("dispatched (UTC)", at(queueing.dispatched_at)),
            Fact("waited, all attempts", duration(Some(queueing.queue_wait_ms))),
            Fact("ahead of it", queueing.waiting_ahead.to_string()),
        ]);
    }
    if let Some(lease) = &outcome.lease {
        facts.extend([
            Fact(
                "worker",
                format!("{} (epoch {})", lease.worker, lease.worker_epoch),
            ),
            Fact("attempt", lease.attempt.to_string()),
            Fact("scheduler epoch", lease.scheduler_epoch.to_string()),
            Fact("leased (UTC)", at(lease.granted_at)),
        ]);
    }
    facts
}
