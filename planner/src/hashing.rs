//! What two plans must share to be called equal, and to share answers. The encoding: `docs/policy.md`.

use relay_lifecycle::Digest;
use relay_schemas::{CacheFlags, Candidate, Decoding, Plan, Verifier};

/// SHA-256 over all that changes an answer: the candidates' models in order, and the decoding. Not the pools (the same model
/// answers the same everywhere), nor the profile's name.
pub(crate) fn signature(candidates: &[Candidate], decoding: &Decoding) -> String {
    let mut digest = Digest::new("relay.plan-signature.v1");
    for Candidate { pool: _, model } in candidates {
        digest = digest.field("model", model);
    }
    // Every field by name: one that comes new is decided upon here, or nothing builds.
    let Decoding {
        profile: _,
        max_tokens,
        temperature,
        top_p,
        top_k,
        seed,
        stop,
        max_tokens_unset,
        temperature_unset,
    } = decoding;
    digest = digest
        .field("max_tokens", max_tokens.0.to_string())
        .field("temperature", float(*temperature))
        .field("top_p", option(top_p.map(float)))
        .field("top_k", option(*top_k))
        .field("seed", option(*seed));
    for stop in stop {
        digest = digest.field("stop", stop);
    }
    // Beside the numbers, which models of Relay's own take where these are unset; and nothing where all is set, as ever.
    for (unset, field) in [
        (max_tokens_unset, "max_tokens"),
        (temperature_unset, "temperature"),
    ] {
        if *unset {
            digest = digest.field("unset", field);
        }
    }
    digest.finish()
}

/// SHA-256 over the whole plan but its deadline (an instant, which no two requests share) and this hash itself.
pub(crate) fn plan_hash(plan: &Plan) -> String {
    let Plan {
        policy_version,
        tier,
        candidates,
        // But for the profile's name, the signature holds it.
        decoding,
        lane_threshold_tokens,
        predicted_tokens,
        slo_ttft_ms,
        deadline: _,
        cache: CacheFlags {
            exact,
            semantic,
            ttl_ms,
        },
        verifier: verifies,
        signature,
        plan_hash: _,
    } = plan;
    let mut digest = Digest::new("relay.plan.v1")
        .field("policy_version", policy_version)
        .field("tier", tier);
    for Candidate { pool, model } in candidates {
        digest = digest.field("pool", pool).field("model", model);
    }
    digest
        .field("profile", &decoding.profile)
        .field("lane_threshold_tokens", lane_threshold_tokens.0.to_string())
        .field("predicted_tokens", predicted_tokens.0.to_string())
        .field("slo_ttft_ms", slo_ttft_ms.to_string())
        .field("cache_exact", exact.to_string())
        .field("cache_semantic", semantic.to_string())
        .field("cache_ttl_ms", ttl_ms.to_string())
        .field("verifier", verifier(*verifies))
        .field("signature", signature)
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
