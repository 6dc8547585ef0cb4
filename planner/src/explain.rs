//! What the policy makes of a request, and why, for people (`relay plan`).

use std::fmt::{self, Write};
use std::time::Duration;

use relay_schemas::{Plan, Planning, Request, RuleTrace};

use crate::policy::Policy;
use crate::{Refusal, hashing, replan, rules};

/// A plan with its decision trace, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Either of them, as text or as JSON. Ends with a line feed.
    pub text: String,
    /// Why there is no plan.
    pub refusal: Option<Refusal>,
}

/// The plan of `request`, and why.
pub fn explain(policy: &Policy, request: &Request, json: bool) -> Explanation {
    let decision = replan(policy, request, request.accepted_at);
    let text = if json {
        as_json(policy, &decision)
    } else {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write_text(&mut text, policy, request, &decision);
        text
    };
    Explanation {
        text,
        refusal: decision.err(),
    }
}

fn as_json(policy: &Policy, decision: &Result<Planning, Refusal>) -> String {
    let value = match decision {
        Ok(planning) => serde_json::json!({ "policy_version": policy.version(), "planning": planning }),
        Err(refusal) => serde_json::json!({
            "policy_version": policy.version(),
            "refusal": { "code": refusal.code, "message": refusal.message },
        }),
    };
    format!("{value:#}\n")
}

fn write_text(
    out: &mut String,
    policy: &Policy,
    request: &Request,
    decision: &Result<Planning, Refusal>,
) -> fmt::Result {
    writeln!(out, "policy      {}", policy.version())?;
    let requested = request
        .requested_tokens
        .map_or_else(|| "none".to_owned(), |tokens| tokens.0.to_string());
    writeln!(
        out,
        "request     {} of tenant {}, model {}, prompt_tokens {}, requested_tokens {requested}, stream {}, class {}",
        request.operation.name(),
        request.tenant,
        request.model,
        request.prompt_tokens.0,
        request.stream,
        rules::class_name(request.class),
    )?;
    match decision {
        Ok(planning) => write_planning(out, request, planning),
        Err(refusal) => {
            writeln!(out, "\nno plan     {}: {}", refusal.code, refusal.message)?;
            if !policy.models().any(|model| model == request.model) {
                let models: Vec<&str> = policy.models().collect();
                writeln!(out, "models      {}", models.join(", "))?;
            }
            Ok(())
        }
    }
}

fn write_planning(out: &mut String, request: &Request, planning: &Planning) -> fmt::Result {
    writeln!(out, "\nrules, in order; the first that matches applies")?;
    for rule in &planning.rules {
        write_rule(out, rule)?;
    }
    if !planning.rules.iter().any(|rule| rule.applied) {
        writeln!(out, "  no rule matched: the defaults apply")?;
    }
    writeln!(out, "\nplan")?;
    write_plan(out, request, &planning.plan)?;
    for adjustment in &planning.adjustments {
        writeln!(out, "  bounded     {adjustment}")?;
    }
    Ok(())
}

fn write_rule(out: &mut String, rule: &RuleTrace) -> fmt::Result {
    let verdict = match (rule.applied, rule.matched) {
        (true, _) => "applies",
        (false, true) => "matches, but an earlier rule applies",
        (false, false) => "does not match",
    };
    writeln!(out, "  {}: {verdict}", rule.rule)?;
    for condition in &rule.conditions {
        let sign = if condition.held { "yes" } else { "no " };
        let (field, expected, seen) = (&condition.field, &condition.expected, &condition.seen);
        writeln!(out, "    {sign} {field}: wanted {expected}, saw {seen}")?;
    }
    Ok(())
}

fn write_plan(out: &mut String, request: &Request, plan: &Plan) -> fmt::Result {
    let decoding = &plan.decoding;
    let lane = if plan.predicted_tokens <= plan.lane_threshold_tokens {
        "short"
    } else {
        "long"
    };
    writeln!(out, "  tier        {}", plan.tier)?;
    for (index, candidate) in plan.candidates.iter().enumerate() {
        let role = if index == 0 { "runs on" } else { "else on" };
        writeln!(out, "  {role}     {} in pool {}", candidate.model, candidate.pool)?;
    }
    write!(out, "  decoding    {}", decoding.profile)?;
    let (tokens, heat) = (decoding.max_tokens.0, decoding.temperature);
    number(out, ": max_tokens", tokens, decoding.max_tokens_unset)?;
    number(out, ", temperature", heat, decoding.temperature_unset)?;
    optional(out, "top_p", decoding.top_p)?;
    optional(out, "top_k", decoding.top_k)?;
    optional(out, "seed", decoding.seed)?;
    // How many, not which: stop strings are content.
    writeln!(out, ", {} stop strings", decoding.stop.len())?;
    let (predicted, threshold) = (plan.predicted_tokens.0, plan.lane_threshold_tokens.0);
    writeln!(
        out,
        "  lane        {lane} (predicted {predicted} tokens, threshold {threshold})"
    )?;
    writeln!(out, "  slo         first token within {}", time(plan.slo_ttft_ms))?;
    let deadline = plan.deadline.since_ms(request.accepted_at);
    writeln!(out, "  deadline    {} after acceptance", time(deadline))?;
    let cache = plan.cache;
    writeln!(
        out,
        "  cache       exact {}, semantic {}, ttl {}",
        on(cache.exact),
        on(cache.semantic),
        time(cache.ttl_ms)
    )?;
    writeln!(out, "  verifier    {}", hashing::verifier(plan.verifier))?;
    writeln!(out, "  signature   {}", plan.signature)?;
    writeln!(out, "  plan hash   {}", plan.plan_hash)
}

fn number(out: &mut String, name: &str, value: impl fmt::Display, unset: bool) -> fmt::Result {
    if unset {
        return write!(out, "{name} unset ({value} on models of Relay's own)");
    }
    write!(out, "{name} {value}")
}

fn optional(out: &mut String, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(out, ", {name} {value}"))
}

/// As policies write it.
fn time(ms: i64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(ms.unsigned_abs()))
}

const fn on(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}
