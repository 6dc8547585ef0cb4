//! From features to an explicit plan. Pure: equal policy and features give an equal plan, whenever and wherever.
//!
//! One rule applies, the first that matches: what it leaves out comes from `defaults`. Several rules that each set a part
//! would be shorter to write and much harder to predict; a reader of this policy needs one line to know the plan's origin.

use relay_schemas::{CacheFlags, Candidate, Decoding, Plan, Planning, Request, TimestampMs, TokenCount};

use crate::decoding::{self, Wanted};
use crate::features::Features;
use crate::policy::{Defaults, Policy, Rule, Settings, Time, Unmatched};
use crate::refusal::Refusal;
use crate::{hashing, rules};

/// Plans `features` under `policy`. `now` only dates the plan; nothing is decided by it.
///
/// # Errors
/// [`Refusal`], a business answer: the request ends as failed.
///
/// # Panics
/// Never: a [`Policy`] exists only if the profiles it names do.
pub fn plan(policy: &Policy, features: &Features, now: TimestampMs) -> Result<Planning, Refusal> {
    let document = policy.document();
    let (rule, trace) = rules::decide(&document.rules, features);
    if rule.is_none() && document.unmatched == Unmatched::Refuse {
        return Err(Refusal::no_plan(
            "no rule of the policy matches this request".to_owned(),
        ));
    }
    let nothing = Settings::default();
    let set = rule.map_or(&nothing, |rule| &rule.set);
    let candidates = candidates(policy, &features.model, rule)?;
    let defaults = &document.defaults;
    let profile_name = set.profile.as_ref().unwrap_or(&defaults.profile);
    let profile = document
        .profile(profile_name)
        .expect("a policy is loaded only if its profiles exist");
    let wanted = Wanted {
        features,
        profile_name,
        profile,
        rule_name: rule.map(|rule| &**rule.name),
        set,
    };
    let (decoding, adjustments) = decoding::decide(&wanted);

    let predicted = features
        .requested_tokens
        .or(profile.expected_tokens)
        .unwrap_or(decoding.max_tokens.0);
    let mut plan = Plan {
        policy_version: policy.version().to_owned(),
        tier: set.tier.as_ref().unwrap_or(&defaults.tier).to_string(),
        lane_threshold_tokens: TokenCount(
            set.lane_threshold_tokens
                .unwrap_or(defaults.lane_threshold_tokens),
        ),
        predicted_tokens: TokenCount(predicted.min(decoding.max_tokens.0)),
        slo_ttft_ms: set.slo_ttft.unwrap_or(defaults.slo_ttft).as_ms(),
        deadline: deadline(features, set.deadline.unwrap_or(defaults.deadline)),
        cache: cache(defaults, set, &decoding),
        verifier: set.verifier.unwrap_or(defaults.verifier),
        candidates,
        decoding,
        signature: String::new(),
        plan_hash: String::new(),
    };
    plan.signature = hashing::signature(&plan.candidates, &plan.decoding);
    plan.plan_hash = hashing::plan_hash(&plan);
    Ok(Planning {
        plan,
        rules: trace,
        adjustments,
        handovers: Vec::new(),
        planned_at: now,
    })
}

/// Plans a recorded request again. Under the policy that its plan names this gives the same `plan_hash`.
///
/// # Errors
/// As [`plan`].
pub fn replan(policy: &Policy, request: &Request, now: TimestampMs) -> Result<Planning, Refusal> {
    plan(policy, &Features::of(request)?, now)
}

fn candidates(policy: &Policy, model: &str, rule: Option<&Rule>) -> Result<Vec<Candidate>, Refusal> {
    let known = policy.document().candidates(model).ok_or_else(|| Refusal {
        code: "model_not_found",
        message: format!("the model `{}` does not exist", rules::clip(model)),
    })?;
    let Some((rule, pool)) = rule.and_then(|rule| Some((rule, rule.set.pool.as_ref()?))) else {
        return Ok(known.iter().map(Candidate::from).collect());
    };
    let inside: Vec<Candidate> = known
        .iter()
        .filter(|one| one.pool == *pool)
        .map(Candidate::from)
        .collect();
    if inside.is_empty() {
        let (name, pool) = (&**rule.name, &**pool);
        let message =
            format!("rule `{name}` asks for pool `{pool}`, in which model `{model}` has no candidate");
        return Err(Refusal::no_plan(message));
    }
    Ok(inside)
}

/// Only ever shortened: the earlier of the request's own and the policy's.
fn deadline(features: &Features, life: Time) -> TimestampMs {
    features.deadline.min(features.accepted_at.plus_ms(life.as_ms()))
}

/// A sampled answer is one of many: it is cached only if the policy says so. What an endpoint does by itself is not known.
fn cache(defaults: &Defaults, set: &Settings, decoding: &Decoding) -> CacheFlags {
    let greedy = decoding.temperature <= 0.0 && !decoding.temperature_unset;
    let safe = greedy || set.cache_sampled.unwrap_or(defaults.cache_sampled);
    CacheFlags {
        exact: safe && set.cache.exact.unwrap_or(defaults.cache.exact),
        semantic: safe && set.cache.semantic.unwrap_or(defaults.cache.semantic),
        ttl_ms: set.cache.ttl.unwrap_or(defaults.cache.ttl).as_ms(),
    }
}
