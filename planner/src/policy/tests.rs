//! What is refused, with line, key and a way to mend it.

use super::Policy;

const SMALL: &str = "\
name: small
pools: [default, gpu]
models:
  m:
    - { pool: default, model: m }
  n:
    - { pool: gpu, model: n }
profiles:
  chat:
    max_tokens: { min: 1, max: 100, default: 50 }
    temperature: { max: 1 }
defaults:
  tier: standard
  profile: chat
  lane_threshold_tokens: 64
  slo_ttft: 1s
  deadline: 1s
  cache: { exact: true, ttl: 1s }
rules:
  - name: one
    match: { tenant: acme }
    set:
      tier: gold
";

#[test]
fn the_sample_policy_is_valid_and_serves_the_projects_models() {
    let sample = crate::testing::sample();
    assert_eq!(sample.models().collect::<Vec<_>>(), ["relay-chat", "relay-gpt2"]);
    let pools: Vec<&str> = sample.pools().collect();
    assert_eq!(
        sample.planned_models().into_iter().collect::<Vec<_>>(),
        [("default", "relay-chat"), ("default", "relay-gpt2")]
    );
    assert_eq!(pools, ["default"]);
}

#[test]
fn the_version_is_the_name_and_the_hash_of_the_bytes() {
    let version = Policy::parse(SMALL).expect("valid").version().to_owned();
    let (name, hash) = version.split_once('@').expect("name@sha256");
    assert_eq!((name, hash.len()), ("small", 64));
    let with_comment = Policy::parse(&format!("{SMALL}# a comment\n")).expect("valid");
    assert_ne!(with_comment.version(), version);
}

/// What is said where one piece of the valid file is replaced.
fn said(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    let body = SMALL.replacen(from, to, 1);
    Policy::parse(&body).expect_err(&body).to_string()
}

#[test]
fn a_mistake_is_named_by_line_column_and_key_and_how_to_mend_it() {
    let changes = [
        ("tier: gold", "pool: gpus"),
        ("tier: gold", "profile: code"),
        ("  profile: chat", "  profile: chatty"),
        ("{ tenant: acme }", "{ model: [m, x] }"),
        ("{ pool: gpu, model: n }", "{ pool: cpu, model: n }"),
        ("tier: gold", "max_tokens: { min: 200 }"),
        ("tier: gold", "temperature: { max: 3 }"),
        ("temperature: { max: 1 }", "temperature: { max: .nan }"),
        ("default: 50", "default: 500"),
        ("default: 50", "default: unsett"),
        ("default: 50", "default: 0"),
        ("default: 50", "default: 5.5"),
        ("{ max: 1 }", "{ default: -1 }"),
        ("max: 100, ", ""),
        ("{ tenant: acme }", "{ prompt_tokens: { min: 9, max: 3 } }"),
        ("{ tenant: acme }", "{ tenant: [] }"),
        ("deadline: 1s", "deadline: 0ms"),
        ("name: small", "name: a b"),
        ("[default, gpu]", "[default, default]"),
        ("    - { pool: gpu, model: n }", "    []"),
        (
            "{ tenant: acme }\n    set:\n      tier: gold",
            "{ model: m }\n    set:\n      pool: gpu",
        ),
        ("      tier: gold\n", "      tier: gold\n  - name: one\n"),
        ("pool: default, model: m", "pool: default, model: ''"),
        ("tier: gold", "tire: gold"),
        ("tier: gold", "slo_ttft_ms: 1500"),
        ("ttl: 1s", "ttl_ms: 3600000"),
        ("min: 1, ", "min: -1, "),
        ("min: 1, ", "min: 0, "),
        ("{ tenant: acme }", "{ class: urgent }"),
        ("{ tenant: acme }", "{ tenant: { a: b } }"),
        ("  n:\n", "  m:\n"),
        ("name: small\n", ""),
        ("name: small", "name: \"small"),
        ("  m:\n", "  \"\":\n"),
        ("deadline: 1s", "deadline: 1000"),
        ("profile: chat", "profile: [chat]"),
        ("exact: true", "exact: yes"),
        ("exact: true", "exact: true, semantic: true"),
        ("tier: gold", "cache: { semantic: true }"),
        ("  tier: standard", "  verifier: after\n  tier: standard"),
        ("tier: gold", "verifier: inline"),
    ];
    let all: Vec<String> = changes
        .iter()
        .map(|(from, to)| format!("{to:?}\n  {}\n", said(from, to)))
        .collect();
    insta::assert_snapshot!(all.concat());
}

/// A switch that nothing reads would be shown as on.
#[test]
fn what_is_not_in_this_build_is_refused_and_may_be_said_to_be_off() {
    for (from, to) in [
        ("exact: true", "exact: true, semantic: true"),
        ("tier: gold", "cache: { semantic: true }"),
        ("  tier: standard", "  verifier: inline\n  tier: standard"),
        ("tier: gold", "verifier: after"),
    ] {
        let refused = said(from, to);
        assert!(refused.contains("not in this build"), "{refused}");
    }
    for (from, to) in [
        ("exact: true", "exact: true, semantic: false"),
        (
            "tier: gold",
            "cache: { semantic: false }\n      verifier: \"off\"",
        ),
    ] {
        let body = SMALL.replacen(from, to, 1);
        assert!(Policy::parse(&body).is_ok(), "{body}");
    }
}

#[test]
fn a_policy_with_a_byte_order_mark_is_the_same_policy() {
    let marked = Policy::parse(&format!("\u{feff}{SMALL}")).expect("valid");
    assert_eq!(marked, Policy::parse(SMALL).expect("valid"));
}

#[test]
fn a_policy_under_which_a_plan_could_outgrow_its_record_is_refused_with_numbers() {
    let all = "{ tenant: a, model: m, prompt_tokens: { min: 1 }, requested_tokens: { min: 1 }, stream: true, class: batch }";
    let rules = |count: usize, matches: &str| {
        let rule = |number: usize| format!("  - {{ name: rule-{number:0>58}, match: {matches} }}\n");
        let rules: String = (0..count).map(rule).collect();
        SMALL.replace(
            "  - name: one\n    match: { tenant: acme }\n    set:\n      tier: gold\n",
            &rules,
        )
    };
    assert!(Policy::parse(&rules(64, "{ model: m, tenant: a }")).is_ok());
    let refused = Policy::parse(&rules(64, all))
        .expect_err("its trace is too large")
        .to_string();
    for words in ["model `m`", "64 rules with 384 conditions", "57344", "join rules"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let candidates = |count: usize| {
        let long = "n".repeat(500);
        let one = |number: usize| format!("    - {{ pool: default, model: {long}{number} }}\n");
        SMALL.replacen(
            "    - { pool: default, model: m }\n",
            &(0..count).map(one).collect::<String>(),
            1,
        )
    };
    assert!(Policy::parse(&candidates(50)).is_ok());
    let refused = Policy::parse(&candidates(150))
        .expect_err("its plan is too large")
        .to_string();
    assert!(refused.contains("150 candidates in 1 pools"), "{refused}");
}

/// The largest plan and trace that a policy of the largest kind leads to is no larger than what is counted at the door.
#[test]
fn what_is_counted_of_a_policy_is_never_less_than_what_it_leads_to() {
    let (long, tenant) = ("p".repeat(64), "q".repeat(300));
    let rule = |number: usize| {
        format!(
            "  - {{ name: rule-{number:0>58}, match: {{ model: [m, {long}*], tenant: [{tenant}], prompt_tokens: {{ min: 1, max: 4000000000 }} }} }}\n"
        )
    };
    let rules: String = (0..64).map(rule).collect();
    let body = SMALL.replace("  n:\n", &format!("  {long}:\n")).replace(
        "  - name: one\n    match: { tenant: acme }\n    set:\n      tier: gold\n",
        &rules,
    );
    let policy = Policy::parse(&body).unwrap_or_else(|mistake| panic!("{mistake}"));
    let request = relay_schemas::Request {
        model: long,
        tenant: "t".repeat(64).as_str().into(),
        ..relay_schemas::samples::request()
    };
    let planning = crate::replan(&policy, &request, request.accepted_at).expect("a plan");
    let planned = relay_schemas::Planned {
        request: request.clone().into(),
        planning: planning.into(),
    };
    let bytes = relay_schemas::encode(&planned).len() - relay_schemas::encode(&request).len();
    assert!(bytes > 20_000 && bytes <= super::MOST_PLANNING, "{bytes}");
}

#[test]
fn all_mistakes_of_a_policy_are_told_at_once_and_none_that_follows_from_another() {
    let body = SMALL
        .replace("{ pool: gpu, model: n }", "{ pool: cpu, model: n, nodel: n }")
        .replace("  profile: chat", "  profile: chatty\n  profil: chat")
        .replace(
            "tier: gold",
            "max_tokens: { min: 5 }\n      pool: tpu\n      cache: { semantic: true }",
        );
    let told: Vec<String> = Policy::read(&body)
        .mistakes
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    let body = SMALL
        .replace("[default, gpu]", "[default, g p u]")
        .replace("  chat:", "  cha t:");
    let told: Vec<String> = Policy::read(&body)
        .mistakes
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "2:18: pools[1]: `g p u` is no name; use 1 to 64 letters, digits, - and _",
        "9:3: profiles.cha t: `cha t` is no name; use 1 to 64 letters, digits, - and _",
    ];
    assert_eq!(
        told, expected,
        "neither the pool nor the profile is called unknown"
    );
}

#[test]
fn all_keys_that_are_missing_are_told_at_once() {
    let told: Vec<String> = Policy::read("name: a\n")
        .mistakes
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = ["pools", "models", "profiles", "defaults"].map(|key| format!("1:1: `{key}` is missing"));
    assert_eq!(told, expected);
}
