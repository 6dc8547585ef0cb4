//! Plans and decision traces, literally.

use relay_schemas::{Class, Planning, Request, TenantId, TimestampMs, TokenCount};

use crate::testing::{request_with, sample};
use crate::{Policy, Refusal, explain, replan};

const NOW: TimestampMs = TimestampMs(1_000_500);

/// Several rules, pools and profiles.
const HOUSE: &str = r"
name: house
pools: [default, gpu, remote]
models:
  small: [{ pool: default, model: small }]
  big: [{ pool: gpu, model: big-v2 }, { pool: remote, model: big-v2 }, { pool: default, model: small }]
profiles:
  chat:
    max_tokens: { min: 8, max: 1000, default: 100 }
    temperature: { max: 1.5, default: 0 }
    top_p: { max: 0.9, default: 0.9 }
    top_k: { max: 50 }
  code:
    max_tokens: { max: 4000 }
    temperature: { max: 0.2 }
    expected_tokens: 300
defaults:
  tier: standard
  profile: chat
  lane_threshold_tokens: 64
  slo_ttft: 1s
  deadline: 1m
  cache: { exact: true, ttl: 1h }
rules:
  - name: remote-only
    match: { tenant: far-* }
    set: { pool: remote }
  - name: gold
    match: { tenant: [gold, platinum], stream: true, class: interactive }
    set: { tier: gold, profile: code, max_tokens: { max: 2000 }, deadline: 5s, verifier: 'off', cache_sampled: true, cache: { semantic: false, ttl: 1s } }
  - name: long
    match: { prompt_tokens: { min: 1000 }, requested_tokens: { min: 1, max: 9000 } }
    set: { tier: bulk, lane_threshold_tokens: 8 }
";

fn house() -> Policy {
    Policy::parse(HOUSE).expect("valid")
}

fn request(model: &str, tenant: &str) -> Request {
    Request {
        model: model.to_owned(),
        tenant: TenantId::new(tenant),
        ..request_with("{}")
    }
}

fn planned(request: &Request) -> Planning {
    replan(&house(), request, NOW).expect("a plan")
}

fn refused(policy: &Policy, request: &Request) -> Refusal {
    replan(policy, request, NOW).expect_err("no plan")
}

#[test]
fn the_first_rule_that_matches_applies_and_the_trace_tells_of_all() {
    let mut gold = request("big", "gold");
    gold.requested_tokens = Some(TokenCount(4_000));
    gold.prompt_tokens = TokenCount(2_000);
    gold.temperature = Some(1.0);
    gold.body = r#"{"seed":7,"stop":["END"],"top_p":0.95}"#.to_owned();
    insta::assert_json_snapshot!("trace_gold", planned(&gold));
    insta::assert_snapshot!("explained_gold", explain(&house(), &gold, false).text);
}

#[test]
fn without_a_matching_rule_the_defaults_apply() {
    insta::assert_json_snapshot!("trace_defaults", planned(&request("small", "acme")));
    insta::assert_snapshot!(
        "explained_defaults",
        explain(&house(), &request("small", "acme"), false).text
    );
}

#[test]
fn the_sample_policys_decisions_are_these() {
    let mut long = request("relay-gpt2", "acme");
    long.prompt_tokens = TokenCount(600);
    long.requested_tokens = Some(TokenCount(1_000));
    insta::assert_json_snapshot!(
        "trace_sample_long",
        replan(&sample(), &long, NOW).expect("a plan").rules
    );
}

#[test]
fn a_refusal_is_explained_as_text_and_as_json() {
    let unknown = request("nope", "acme");
    let told = explain(&house(), &unknown, false);
    assert!(
        told.text.ends_with(
            "no plan     model_not_found: the model `nope` does not exist\nmodels      small, big\n"
        ),
        "{}",
        told.text
    );
    assert_eq!(told.refusal.expect("it is refused").code, "model_not_found");
    let json = |model| {
        let told = explain(&house(), &request(model, "acme"), true);
        let json: serde_json::Value = serde_json::from_str(&told.text).expect("JSON");
        (json, told.refusal.is_some())
    };
    let (refused, planned) = (json("nope"), json("small"));
    assert_eq!(
        (refused.0["refusal"]["code"].as_str(), refused.1),
        (Some("model_not_found"), true)
    );
    assert_eq!(
        (planned.0["planning"]["plan"]["tier"].as_str(), planned.1),
        (Some("standard"), false)
    );
}

#[test]
fn an_unknown_model_is_not_found() {
    assert_eq!(
        refused(&house(), &request("nope", "acme")).code,
        "model_not_found"
    );
}

#[test]
fn a_pool_keeps_only_its_candidates_and_a_model_outside_of_it_gets_no_plan() {
    let candidates = planned(&request("big", "far-away")).plan.candidates;
    assert_eq!(candidates.len(), 1);
    assert_eq!(
        (candidates[0].pool.as_str(), candidates[0].model.as_str()),
        ("remote", "big-v2")
    );
    let refusal = refused(&house(), &request("small", "far-away"));
    assert_eq!(refusal.code, "no_plan");
    assert!(refusal.message.contains("remote-only"), "{}", refusal.message);
}

#[test]
fn a_strict_policy_refuses_what_no_rule_matches() {
    let strict = Policy::parse(&format!("{HOUSE}unmatched: refuse\n")).expect("valid");
    assert_eq!(refused(&strict, &request("small", "acme")).code, "no_plan");
    assert!(replan(&strict, &request("big", "far-away"), NOW).is_ok());
}

#[test]
fn a_sampled_answer_is_cached_only_if_the_policy_says_so() {
    let mut cases = vec![
        (request("small", "acme"), 0.0, true),
        (request("small", "acme"), 0.5, false),
    ];
    // `gold` says cache_sampled.
    cases.push((request("small", "gold"), 0.2, true));
    for (mut request, temperature, exact) in cases {
        request.temperature = Some(temperature);
        assert_eq!(
            planned(&request).plan.cache.exact,
            exact,
            "{temperature} {}",
            request.tenant
        );
    }
}

#[test]
fn predicted_tokens_are_the_wish_else_the_expectation_else_the_limit() {
    for (tenant, asked, predicted) in [
        ("acme", Some(40), 40),
        ("acme", Some(9_000), 1_000),
        ("acme", None, 100),
        ("gold", None, 300),
    ] {
        let mut request = request("small", tenant);
        request.requested_tokens = asked.map(TokenCount);
        assert_eq!(
            planned(&request).plan.predicted_tokens.0,
            predicted,
            "{tenant} {asked:?}"
        );
    }
}

#[test]
fn every_condition_sees_its_own_feature() {
    let rule = |condition: &str| {
        let body = HOUSE.split("rules:").next().expect("the part before");
        Policy::parse(&format!("{body}rules:\n  - name: r\n    match: {condition}\n")).expect(condition)
    };
    let mut seen = request("big", "acme");
    seen.requested_tokens = Some(TokenCount(20));
    seen.class = Class::Batch;
    for (condition, holds) in [
        ("{}", true),
        ("{ tenant: acme }", true),
        ("{ tenant: [x, ac*] }", true),
        ("{ tenant: acm }", false),
        ("{ model: b* }", true),
        ("{ model: small }", false),
        ("{ prompt_tokens: { min: 12, max: 12 } }", true),
        ("{ prompt_tokens: { min: 13 } }", false),
        ("{ requested_tokens: { max: 20 } }", true),
        ("{ requested_tokens: { max: 19 } }", false),
        ("{ stream: true }", true),
        ("{ stream: false }", false),
        ("{ class: batch }", true),
        ("{ class: interactive }", false),
        ("{ tenant: acme, stream: false }", false),
    ] {
        let trace = &replan(&rule(condition), &seen, NOW).expect("a plan").rules[0];
        assert_eq!((trace.matched, trace.applied), (holds, holds), "{condition}");
    }
    seen.requested_tokens = None;
    let open = rule("{ requested_tokens: { max: 20 } }");
    assert!(
        !replan(&open, &seen, NOW).expect("a plan").rules[0].matched,
        "no limit is not a small limit"
    );
}

/// `small` under a profile whose bounds are these, where `acme` asks for `body`.
fn planned_by(profile: &str, temperature: Option<f64>, requested: Option<u32>) -> Planning {
    let chat = HOUSE.find("  chat:").expect("a profile");
    let code = HOUSE.find("  code:").expect("the next one");
    let policy = format!("{}  chat: {profile}\n{}", &HOUSE[..chat], &HOUSE[code..]);
    let mut request = request("small", "acme");
    request.temperature = temperature;
    request.requested_tokens = requested.map(TokenCount);
    replan(&Policy::parse(&policy).expect(profile), &request, NOW).expect("a plan")
}

#[test]
fn what_neither_client_nor_policy_sets_stays_unset_and_a_bound_is_kept_all_the_same() {
    let nothing = "{ max_tokens: { max: 1000, default: unset } }";
    for (profile, temperature, requested, expected) in [
        (nothing, None, None, ((1_000, true), (1.0, true))),
        (nothing, Some(1.0), None, ((1_000, true), (1.0, false))),
        (nothing, None, Some(1_000), ((1_000, false), (1.0, true))),
        (nothing, None, Some(9_000), ((1_000, false), (1.0, true))),
        (
            "{ max_tokens: { max: 1000 } }",
            None,
            None,
            ((1_000, false), (1.0, true)),
        ),
        (
            "{ max_tokens: { max: 1000, default: 7 }, temperature: { default: 0 } }",
            None,
            None,
            ((7, false), (0.0, false)),
        ),
        (
            "{ max_tokens: { max: 1000 }, temperature: { max: 0.2 } }",
            None,
            None,
            ((1_000, false), (0.2, false)),
        ),
        (
            "{ max_tokens: { max: 1000 }, temperature: { max: 0.2, default: unset } }",
            None,
            None,
            ((1_000, false), (0.2, true)),
        ),
    ] {
        let decoding = planned_by(profile, temperature, requested).plan.decoding;
        let seen = (
            (decoding.max_tokens.0, decoding.max_tokens_unset),
            (decoding.temperature, decoding.temperature_unset),
        );
        assert_eq!(seen, expected, "{profile}: {temperature:?}, {requested:?}");
    }
}

#[test]
fn a_rule_may_leave_unset_what_the_profile_sets() {
    let rule = "  - { name: r, match: { tenant: acme }, set: { max_tokens: { default: unset }, temperature: { default: unset } } }\n";
    let policy = HOUSE.replacen("rules:\n", &format!("rules:\n{rule}"), 1);
    let policy = Policy::parse(&policy).expect("valid");
    let decoding = replan(&policy, &request("small", "acme"), NOW)
        .expect("a plan")
        .plan
        .decoding;
    assert!(decoding.max_tokens_unset && decoding.temperature_unset);
    let text = explain(&policy, &request("small", "acme"), false).text;
    assert!(
        text.contains(
            "max_tokens unset (1000 on models of Relay's own), temperature unset (1 on models of Relay's own)"
        ),
        "{text}"
    );
}

#[test]
fn an_unset_value_and_the_same_one_asked_for_share_no_answer() {
    let profile = "{ max_tokens: { max: 1000, default: unset } }";
    let unset = planned_by(profile, None, None).plan;
    for (temperature, requested) in [(Some(1.0), None), (None, Some(1_000)), (Some(1.0), Some(1_000))] {
        let set = planned_by(profile, temperature, requested).plan;
        assert_ne!(set.signature, unset.signature, "{temperature:?}, {requested:?}");
        assert_ne!(set.plan_hash, unset.plan_hash);
    }
    assert_eq!(planned_by(profile, None, None).plan.plan_hash, unset.plan_hash);
}

#[test]
fn an_answer_at_a_temperature_that_nobody_set_is_cached_only_if_sampled_ones_are() {
    let greedy = "{ max_tokens: { max: 9 }, temperature: { max: 0, default: unset } }";
    let plan = planned_by(greedy, None, None).plan;
    assert!(plan.decoding.temperature_unset && !plan.cache.exact);
    assert!(planned_by(greedy, Some(0.0), None).plan.cache.exact);
}
