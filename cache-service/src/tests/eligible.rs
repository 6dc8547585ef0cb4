//! What may be cached, case by case.

use std::sync::Arc;

use relay_schemas::{Choice, FinishReason, Outcome, OutcomeStatus};

use crate::eligibility::{NotCached, entry_of};
use crate::testing::{completed, planned, position};

fn of(change: impl FnOnce(&mut Outcome)) -> Result<(), NotCached> {
    let mut outcome = completed(&planned("acme", "h"), "Paris");
    change(&mut outcome);
    let now = outcome.ended_at.plus_ms(10);
    entry_of(&outcome, &position("relay.outcomes.v1", 4), now).map(drop)
}

fn answer(outcome: &mut Outcome) -> &mut relay_schemas::Answer {
    Arc::make_mut(outcome.answer.as_mut().expect("completed outcomes have one"))
}

fn plan(outcome: &mut Outcome) -> &mut relay_schemas::Plan {
    let planning = outcome.planning.as_mut().expect("completed outcomes have one");
    &mut Arc::make_mut(planning).plan
}

#[test]
fn only_a_whole_answer_of_the_planned_model_is_cached() {
    assert_eq!(of(|_| {}), Ok(()));
    for status in [
        OutcomeStatus::Cached,
        OutcomeStatus::Rejected,
        OutcomeStatus::Failed,
        OutcomeStatus::Expired,
        OutcomeStatus::Cancelled,
        OutcomeStatus::Refused,
    ] {
        assert_eq!(
            of(|outcome| outcome.status = status),
            Err(NotCached::NotCompleted),
            "{status:?}"
        );
    }
    for reason in [
        Some(FinishReason::Length),
        Some(FinishReason::ContentFilter),
        None,
    ] {
        assert_eq!(
            of(|outcome| answer(outcome).choices[0].finish_reason = reason),
            Err(NotCached::NotWhole),
            "{reason:?}"
        );
    }
    let mut rich = relay_schemas::samples::rich_answer();
    assert_eq!(
        of(|outcome| outcome.answer = Some(rich.clone().into())),
        Err(NotCached::NotWhole),
        "one of its choices is a refusal"
    );
    rich.choices.retain(|choice| choice.message.refusal.is_none());
    assert_eq!(
        of(|outcome| outcome.answer = Some(rich.into())),
        Ok(()),
        "calls of tools too"
    );
    assert_eq!(
        of(|outcome| answer(outcome).choices.clear()),
        Err(NotCached::NotWhole)
    );
    assert_eq!(
        of(|outcome| answer(outcome).choices.push(Choice::default())),
        Err(NotCached::NotWhole),
        "one of two choices is cut"
    );
    assert_eq!(
        of(|outcome| plan(outcome).cache.exact = false),
        Err(NotCached::Off)
    );
    assert_eq!(
        of(|outcome| "fallback".clone_into(&mut answer(outcome).model)),
        Err(NotCached::Fallback)
    );
    assert_eq!(
        of(|outcome| answer(outcome).content_dropped = true),
        Err(NotCached::ContentDropped)
    );
    assert_eq!(
        of(|outcome| plan(outcome).cache.ttl_ms = 10),
        Err(NotCached::Stale)
    );
    assert_eq!(
        of(|outcome| plan(outcome).candidates.clear()),
        Err(NotCached::Incomplete)
    );
    assert_eq!(of(|outcome| outcome.answer = None), Err(NotCached::Incomplete));
    assert_eq!(of(|outcome| outcome.planning = None), Err(NotCached::Incomplete));
    assert_eq!(of(|outcome| outcome.request = None), Err(NotCached::Incomplete));
}

#[test]
fn an_answer_to_store_false_fills_nothing() {
    let asked = |body: &str| {
        of(|outcome| {
            let request = outcome.request.as_mut().expect("it is there");
            body.clone_into(&mut Arc::make_mut(request).body);
        })
    };
    let not_kept = r#"{"messages":[{"role":"user","content":"a secret"}],"store" : false, "metadata": 7}"#;
    assert_eq!(asked(not_kept), Err(NotCached::NotKept));
    for kept in [r#"{"store":true}"#, r#"{"store":null}"#, "{}"] {
        assert_eq!(asked(kept), Ok(()), "{kept}");
    }
}

#[test]
fn an_answer_whose_endpoint_was_not_sent_the_temperature_of_a_greedy_plan_fills_nothing() {
    let answered = |temperature: f64, unset: bool, extra: Option<&str>| {
        of(|outcome| {
            let decoding = &mut plan(outcome).decoding;
            (decoding.temperature, decoding.temperature_unset) = (temperature, unset);
            answer(outcome).extra = extra.map(str::to_owned);
        })
    };
    let omitted = r#"{"of_theirs":1e400,"relay_omitted":["top_p","temperature"]}"#;
    assert_eq!(
        answered(0.0, false, Some(omitted)),
        Err(NotCached::NotGreedy),
        "the client asked for 0 and the policy forbids samples"
    );
    for (temperature, unset) in [(0.7, false), (1.0, true)] {
        let allowed = answered(temperature, unset, Some(omitted));
        assert_eq!(allowed, Ok(()), "the cache is on, so the policy allows samples");
    }
    for extra in [
        None,
        Some("{}"),
        Some(r#"{"relay_omitted":["top_p"]}"#),
        Some(r#"{"temperature":["temperature"],"relay_omitted":7}"#),
    ] {
        assert_eq!(answered(0.0, false, extra), Ok(()), "{extra:?}");
    }
}

#[test]
fn an_entry_knows_whose_it_is_and_where_it_came_from() {
    let outcome = completed(&planned("acme", "h"), "Paris");
    let entry = entry_of(&outcome, &position("relay.outcomes.v1", 4), outcome.ended_at).expect("eligible");
    assert_eq!(
        (entry.owner.tenant.as_str(), entry.owner.request_hash.as_str()),
        ("acme", "h")
    );
    assert_eq!(entry.provenance.source_request_id, outcome.request_id);
    assert_eq!(
        (entry.provenance.source_partition, entry.provenance.source_offset),
        (0, 4)
    );
    assert_eq!(
        (entry.provenance.model_version.as_str(), entry.usage),
        ("v1", outcome.usage)
    );
}
