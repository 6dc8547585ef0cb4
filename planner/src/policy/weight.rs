//! How large a plan with its decision trace can become under a policy: a record must hold it beside the request. Pure.
//!
//! What a request says stands in it clipped, so it follows from the policy alone.

use std::collections::BTreeSet;

use relay_settings::Mistake;

use super::grammar::{Candidates, Document, Match};

/// Most bytes of a plan with its decision trace. Every record from `relay.planned.v1` on has room for as much beside the request.
pub const MOST_PLANNING: usize = 56 * 1024;
/// Longest text of a condition, or of a value that it saw, in the trace, bytes.
pub const LONGEST_VALUE: usize = 64;

/// What a plan says beside its candidates, the stop strings left out: they count with the request.
const PLAN: usize = 2 * 1024;
/// What a candidate, a rule and a condition take beside their texts; the name of a condition is among its numbers.
const CANDIDATE: usize = 8;
const RULE: usize = 16;
const CONDITION: usize = 32 + 2 * LONGEST_VALUE;
/// A hand-over: two pools, a word, and a sentence of a few hundred characters.
const HAND_OVER: usize = 2_304;

/// The models whose plans could outgrow their records.
pub(super) fn check(document: &Document) -> Vec<Mistake> {
    let mut found = Vec::new();
    let rules = &document.rules;
    let conditions: usize = rules.iter().map(|rule| conditions(&rule.matches)).sum();
    let names: usize = rules.iter().map(|rule| rule.name.len()).sum();
    let trace = names + rules.len() * RULE + conditions * CONDITION;
    for (model, Candidates(candidates)) in &document.models {
        let texts = candidates.iter();
        let texts: usize = texts
            .map(|candidate| candidate.pool.len() + candidate.model.len() + CANDIDATE)
            .sum();
        let pools: BTreeSet<&str> = candidates.iter().map(|one| one.pool.as_str()).collect();
        let handovers = pools.len().saturating_sub(1) * HAND_OVER;
        let needed = PLAN + trace + texts + handovers;
        let Some(first) = candidates.first().filter(|_| needed > MOST_PLANNING) else {
            continue;
        };
        let problem = format!(
            "a plan for model `{model}` with its decision trace may need {needed} bytes, where {MOST_PLANNING} are allowed: \
             {} candidates in {} pools take {}, {} rules with {conditions} conditions {trace}",
            candidates.len(),
            pools.len(),
            texts + handovers,
            rules.len(),
        );
        let remedy = "name fewer candidates, join rules, or leave conditions out";
        found.push(first.pool.place.mistake(problem, remedy));
    }
    found
}

fn conditions(matches: &Match) -> usize {
    let Match {
        tenant,
        model,
        prompt_tokens,
        requested_tokens,
        stream,
        class,
    } = matches;
    [
        tenant.is_some(),
        model.is_some(),
        prompt_tokens.is_some(),
        requested_tokens.is_some(),
        stream.is_some(),
        class.is_some(),
    ]
    .into_iter()
    .filter(|named| *named)
    .count()
}
