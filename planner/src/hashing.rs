//! What two plans must share to be called equal, and to share answers. The encoding: `docs/policy.md`.

use relay_lifecycle::Digest;
use relay_schemas::{Candidate, Decoding, Plan, Verifier};

/// SHA-256 over all that changes an answer: the candidates' models in order, and the decoding. Not the pools (the same model
/// answers the same everywhere), nor the profile's name.
pub(crate) fn signature(candidates: &[Candidate], decoding: &Decoding) -> String {
    let mut digest = Digest::new("relay.plan-signature.v1");
    for candidate in candidates {
        digest = digest.field("model", &candidate.model);
    }
    digest = digest
        .field("max_tokens", decoding.max_tokens.0.to_string())
        .field("temperature", float(decoding.temperature))
        .field("top_p", option(decoding.top_p.map(float)))
        .field("top_k", option(decoding.top_k))
        .field("seed", option(decoding.seed));
    for stop in &decoding.stop {
        digest = digest.field("stop", stop);
    }
    digest.finish()
}

/// SHA-256 over the whole plan but its deadline (an instant, which no two requests share) and this hash itself.
pub(crate) fn plan_hash(plan: &Plan) -> String {
    let mut digest = Digest::new("relay.plan.v1")
        .field("policy_version", &plan.policy_version)
        .field("tier", &plan.tier);
    for candidate in &plan.candidates {
        digest = digest
            .field("pool", &candidate.pool)
            .field("model", &candidate.model);
    }
    digest
        .field("profile", &plan.decoding.profile)
        .field("lane_threshold_tokens", plan.lane_threshold_tokens.0.to_string())
        .field("predicted_tokens", plan.predicted_tokens.0.to_string())
        .field("slo_ttft_ms", plan.slo_ttft_ms.to_string())
        .field("cache_exact", plan.cache.exact.to_string())
        .field("cache_semantic", plan.cache.semantic.to_string())
        .field("cache_ttl_ms", plan.cache.ttl_ms.to_string())
        .field("verifier", verifier(plan.verifier))
        .field("signature", &plan.signature)
        .finish()
}

/// The bits, so that no way of printing matters; -0 counts as 0.
fn float(value: f64) -> String {
    format!("{:016x}", (value + 0.0).to_bits())
}

fn option(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

pub(crate) const fn verifier(verifier: Verifier) -> &'static str {
    match verifier {
        Verifier::Off => "off",
        Verifier::After => "after",
        Verifier::Inline => "inline",
    }
}
