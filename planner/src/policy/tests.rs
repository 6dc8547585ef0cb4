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
    let pools: Vec<&str> = sample.document().pools.iter().map(|pool| &***pool).collect();
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
    ];
    let all: Vec<String> = changes
        .iter()
        .map(|(from, to)| format!("{to:?}\n  {}\n", said(from, to)))
        .collect();
    insta::assert_snapshot!(all.concat());
}

#[test]
fn a_policy_with_a_byte_order_mark_is_the_same_policy() {
    let marked = Policy::parse(&format!("\u{feff}{SMALL}")).expect("valid");
    assert_eq!(marked, Policy::parse(SMALL).expect("valid"));
}
