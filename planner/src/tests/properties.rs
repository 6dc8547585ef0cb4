//! What holds for every request and many policies.

use proptest::prelude::*;
use relay_schemas::{Class, TenantId, TimestampMs};

use crate::{Features, Policy, plan};

fn policy(bounds: (u32, u32, u32), heat: (f64, f64), deadline_ms: i64) -> Policy {
    let (low, span, rule_max) = bounds;
    let high = low + span;
    let body = format!(
        "name: p\npools: [a, b]\nmodels:\n  m: [{{pool: a, model: m1}}, {{pool: b, model: m2}}]\n\
         profiles:\n  chat:\n    max_tokens: {{min: {low}, max: {high}}}\n    temperature: {{min: {}, max: {}}}\n    \
         top_p: {{max: 0.9}}\n    top_k: {{min: 2, max: 40}}\n\
         defaults: {{tier: t, profile: chat, lane_threshold_tokens: 9, slo_ttft: 1ms, deadline: {deadline_ms}ms, \
         cache: {{exact: true, ttl: 1ms}}}}\n\
         rules:\n  - name: r\n    match: {{stream: true}}\n    set: {{max_tokens: {{max: {}}}}}\n",
        heat.0,
        heat.0 + heat.1,
        rule_max.max(low),
    );
    Policy::parse(&body).expect(&body)
}

prop_compose! {
    fn policies()(
        bounds in (1..5_000_u32, 0..5_000_u32, 1..9_000_u32),
        heat in (0.0..1.0_f64, 0.0..1.0_f64),
        deadline_ms in 1..100_000_i64,
    ) -> Policy {
        policy(bounds, heat, deadline_ms)
    }
}

prop_compose! {
    fn features()(
        tenant in "[a-z]{1,8}",
        stream in any::<bool>(),
        batch in any::<bool>(),
        prompt_tokens in any::<u32>(),
        requested_tokens in proptest::option::of(any::<u32>()),
        temperature in proptest::option::of(0.0..10.0_f64),
        top_p in proptest::option::of(0.0..1.0_f64),
        top_k in proptest::option::of(any::<u32>()),
        seed in proptest::option::of(any::<i64>()),
        stop in proptest::collection::vec("[a-z\\n]{0,4}", 0..4),
        accepted_at in 0..i64::MAX / 2,
        life in 0..200_000_i64,
    ) -> Features {
        Features {
            tenant: TenantId::new(tenant),
            model: "m".to_owned(),
            class: if batch { Class::Batch } else { Class::Interactive },
            stream,
            prompt_tokens,
            requested_tokens,
            temperature,
            top_p,
            top_k,
            seed,
            stop,
            accepted_at: TimestampMs(accepted_at),
            deadline: TimestampMs(accepted_at + life),
        }
    }
}

/// Changes one thing that changes answers.
fn altered(features: &Features, what: usize) -> Features {
    let mut other = features.clone();
    match what {
        0 => other.seed = Some(other.seed.map_or(0, |seed| seed.wrapping_add(1))),
        1 => other.stop.push("more".to_owned()),
        2 => {
            other.top_p = if other.top_p == Some(0.5) {
                Some(0.25)
            } else {
                Some(0.5)
            }
        }
        3 => other.top_k = if other.top_k == Some(7) { Some(8) } else { Some(7) },
        // Two stops are not one stop that joins them.
        _ => other.stop = vec![format!("{}x", features.stop.concat())],
    }
    other
}

const NOW: TimestampMs = TimestampMs(1);

proptest! {
    #[test]
    fn a_plan_depends_on_policy_and_features_only(policy in policies(), features in features(), now in any::<i64>()) {
        let reparsed = Policy::parse(policy.body()).expect("it was valid before");
        let mut one = plan(&policy, &features, NOW).expect("a plan");
        let two = plan(&reparsed, &features, TimestampMs(now)).expect("a plan");
        one.planned_at = two.planned_at;
        prop_assert_eq!(one, two);
    }

    #[test]
    fn bounds_hold_whatever_is_asked(policy in policies(), features in features()) {
        let plan = plan(&policy, &features, NOW).expect("a plan").plan;
        let profile = policy.document().profile("chat").expect("the profile");
        let rule = &policy.document().rules[0];
        let tokens = plan.decoding.max_tokens.0;
        prop_assert!(profile.max_tokens.min.is_none_or(|min| tokens >= min));
        prop_assert!(profile.max_tokens.max.is_none_or(|max| tokens <= max));
        prop_assert!(!features.stream || rule.set.max_tokens.max.is_none_or(|max| tokens <= max));
        let heat = plan.decoding.temperature;
        prop_assert!(profile.temperature.min.is_none_or(|min| heat >= min));
        prop_assert!(profile.temperature.max.is_none_or(|max| heat <= max));
        prop_assert!(plan.decoding.top_p.is_none_or(|top_p| top_p <= 0.9));
        prop_assert!(plan.decoding.top_k.is_none_or(|top_k| (2..=40).contains(&top_k)));
        prop_assert!(plan.predicted_tokens <= plan.decoding.max_tokens);
        prop_assert!(!plan.cache.exact || plan.decoding.temperature <= 0.0);
    }

    #[test]
    fn a_deadline_is_never_later_and_always_within_the_policys(policy in policies(), features in features()) {
        let plan = plan(&policy, &features, NOW).expect("a plan").plan;
        let longest = features.accepted_at.plus_ms(policy.document().defaults.deadline.as_ms());
        prop_assert_eq!(plan.deadline, features.deadline.min(longest));
    }

    #[test]
    fn the_signature_changes_with_what_changes_an_answer(
        policy in policies(), features in features(), what in 0..5_usize,
    ) {
        let one = plan(&policy, &features, NOW).expect("a plan").plan;
        let two = plan(&policy, &altered(&features, what), NOW).expect("a plan").plan;
        let same = (&one.decoding, &one.candidates) == (&two.decoding, &two.candidates);
        prop_assert_eq!(same, one.signature == two.signature);
        prop_assert_eq!(same, one.plan_hash == two.plan_hash);
    }

    #[test]
    fn the_signature_ignores_what_does_not(policy in policies(), features in features(), tenant in "[a-z]{1,8}") {
        let other = Features {
            tenant: TenantId::new(tenant),
            class: Class::Batch,
            prompt_tokens: features.prompt_tokens.wrapping_add(1),
            accepted_at: features.accepted_at.plus_ms(1),
            ..features.clone()
        };
        let one = plan(&policy, &features, NOW).expect("a plan").plan;
        let two = plan(&policy, &other, NOW).expect("a plan").plan;
        prop_assert_eq!(one.signature, two.signature);
        prop_assert_eq!(one.plan_hash, two.plan_hash);
    }
}

#[test]
fn tokens_and_temperature_are_in_the_signature() {
    let wide = policy((1, 1_000, 1_000), (0.0, 1.0), 1_000);
    let base = Features {
        requested_tokens: Some(10),
        temperature: Some(0.5),
        ..Features::of(&crate::testing::request_with("{}")).expect("valid")
    };
    let base = Features {
        model: "m".to_owned(),
        ..base
    };
    let signature = |features: &Features| plan(&wide, features, NOW).expect("a plan").plan.signature;
    let tokens = Features {
        requested_tokens: Some(11),
        ..base.clone()
    };
    let heat = Features {
        temperature: Some(0.6),
        ..base.clone()
    };
    assert_ne!(signature(&base), signature(&tokens));
    assert_ne!(signature(&base), signature(&heat));
}
