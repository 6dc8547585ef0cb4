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
  slo_ttft_ms: 1000
  deadline_ms: 1000
  cache: { exact: true, ttl_ms: 1000 }
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
    assert_eq!(sample.document().pools, ["default"]);
}

#[test]
fn the_version_is_the_name_and_the_hash_of_the_bytes() {
    let version = Policy::parse(SMALL).expect("valid").version().to_owned();
    let (name, hash) = version.split_once('@').expect("name@sha256");
    assert_eq!((name, hash.len()), ("small", 64));
    let with_comment = Policy::parse(&format!("{SMALL}# a comment\n")).expect("valid");
    assert_ne!(with_comment.version(), version);
}

/// Replaces one piece of the valid file and tells what the reader says.
fn error(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    let body = SMALL.replacen(from, to, 1);
    Policy::parse(&body).expect_err(&body).to_string()
}

#[test]
fn a_mistake_is_named_by_line_and_key_and_how_to_mend_it() {
    let cases = [
        (
            "tier: gold",
            "pool: gpus",
            "line 23, rules[0].set.pool: there is no pool `gpus`; declare it under `pools` or use one of: default, gpu",
        ),
        (
            "tier: gold",
            "profile: code",
            "line 23, rules[0].set.profile: there is no profile `code`; declare it under `profiles` or use one of: chat",
        ),
        (
            "  profile: chat",
            "  profile: chatty",
            "line 14, defaults.profile: there is no profile `chatty`; declare it under `profiles` or use one of: chat",
        ),
        (
            "{ tenant: acme }",
            "{ model: [m, x] }",
            "line 21, rules[0].match.model: there is no model `x`; declare it under `models` or use one of: m, n",
        ),
        (
            "{ pool: gpu, model: n }",
            "{ pool: cpu, model: n }",
            "line 7, models.n[0].pool: there is no pool `cpu`; declare it under `pools` or use one of: default, gpu",
        ),
        (
            "tier: gold",
            "max_tokens: { min: 200 }",
            "line 23, rules[0].set.max_tokens: leaves no value together with profile `chat` (at least 200, at most 100); widen one of them, or set another profile",
        ),
        (
            "tier: gold",
            "temperature: { max: 3 }",
            "line 23, rules[0].set.temperature.max: 3 is out of range; use 0 to 2",
        ),
        (
            "temperature: { max: 1 }",
            "temperature: { max: .nan }",
            "line 11, profiles.chat.temperature.max: NaN is out of range; use 0 to 2",
        ),
        (
            "default: 50",
            "default: 500",
            "line 10, profiles.chat.max_tokens.default: `default` lies outside of `min` and `max`; move it inside",
        ),
        (
            "max: 100, ",
            "",
            "line 10, profiles.chat.max_tokens: has no `max`; say how long an answer may become",
        ),
        (
            "{ tenant: acme }",
            "{ prompt_tokens: { min: 9, max: 3 } }",
            "line 21, rules[0].match.prompt_tokens: `min` is above `max`, so the rule can never match; exchange them",
        ),
        (
            "{ tenant: acme }",
            "{ tenant: [] }",
            "line 21, rules[0].match.tenant: is empty, so the rule can never match; name one, or leave it out",
        ),
        (
            "deadline_ms: 1000",
            "deadline_ms: 0",
            "line 17, defaults.deadline_ms: 0 is not above 0; give milliseconds",
        ),
        (
            "name: small",
            "name: a b",
            "line 1, name: `a b` is no name; use 1 to 64 letters, digits, - and _",
        ),
        (
            "[default, gpu]",
            "[default, default]",
            "line 2, pools[1]: `default` stands twice; remove one",
        ),
        (
            "    - { pool: gpu, model: n }",
            "    []",
            "line 7, models.n: has no candidate; give at least one {pool, model}",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(error(from, to), expected);
    }
}

#[test]
fn a_rule_whose_model_is_not_in_its_pool_is_refused() {
    let said = error(
        "{ tenant: acme }\n    set:\n      tier: gold",
        "{ model: m }\n    set:\n      pool: gpu",
    );
    assert_eq!(
        said,
        "line 23, rules[0].set.pool: model `m` has no candidate in pool `gpu`; add {pool: gpu, model: …} under models.m"
    );
}

#[test]
fn two_rules_of_one_name_are_refused() {
    let body = format!("{SMALL}  - name: one\n");
    let said = Policy::parse(&body).expect_err("twice").to_string();
    assert_eq!(
        said,
        "line 24, rules[0].name: two rules are called `one`; give each its own name".replace("[0]", "[1]")
    );
}

#[test]
fn what_the_grammar_refuses_carries_line_and_key_too() {
    for (from, to, line, words) in [
        (
            "tier: gold",
            "tire: gold",
            "line 23, rules[0].set",
            "unknown field `tire`",
        ),
        (
            "min: 1, ",
            "min: -1, ",
            "line 10, profiles.chat.max_tokens.min",
            "integer `-1`, expected u32",
        ),
        (
            "{ tenant: acme }",
            "{ class: urgent }",
            "line 21, rules[0].match.class",
            "unknown variant `urgent`",
        ),
        (
            "{ tenant: acme }",
            "{ tenant: { a: b } }",
            "line 21, rules[0].match.tenant",
            "expected a text or a list of texts",
        ),
        ("  n:\n", "  m:\n", "line 4, models", "`m` is defined twice"),
        ("name: small\n", "", "line 1", "missing field `name`"),
        ("name: small", "name: \"small", "line", "found unexpected end"),
    ] {
        let said = error(from, to);
        assert!(said.starts_with(line) && said.contains(words), "{said}");
    }
}
