//! The in-process level, and what no level may ever do.

use std::sync::Arc;

use proptest::prelude::*;
use relay_schemas::{Answer, Choice, Embedding, TimestampMs, ToolCall};

use crate::entry::{Entry, Unfit};
use crate::levels::{FillResult, Levels, LookupResult, Lru};
use crate::metrics::Metrics;
use crate::testing::{entry, owner};

fn levels(bytes: u64) -> Levels {
    Levels {
        lru: Lru::new(bytes),
        redis: None,
        metrics: Metrics::register(&prometheus::Registry::new()).expect("fresh"),
    }
}

async fn fill(levels: &Levels, entry: Entry, now: TimestampMs) -> FillResult {
    levels.fill(entry, 1 << 20, now).await
}

fn answer(entry: &mut Entry) -> &mut Answer {
    Arc::make_mut(&mut entry.answer)
}

fn text(found: &LookupResult) -> &str {
    match found {
        LookupResult::Hit(entry, _) => entry.answer.first_text(),
        other => panic!("no hit: {other:?}"),
    }
}

const NOW: TimestampMs = TimestampMs(1_000_000);

#[tokio::test]
async fn the_first_fill_wins() {
    let levels = levels(1 << 20);
    let owner = owner("acme", "h", "s");
    assert_eq!(
        fill(&levels, entry(owner.clone(), "first", NOW, 1_000), NOW).await,
        FillResult::Filled
    );
    assert_eq!(
        fill(&levels, entry(owner.clone(), "second", NOW, 1_000), NOW).await,
        FillResult::Present
    );
    let found = levels.get(&owner.key(), &owner, 1_000, NOW).await;
    assert_eq!(text(&found), "first");
}

#[tokio::test]
async fn an_entry_answers_until_its_time_or_the_asking_plans_is_over_and_then_makes_room() {
    for (entry_ttl, plan_ttl, after, hit) in [
        (1_000, 1_000, 999, true),
        (1_000, 1_000, 1_000, false),
        (1_000, 10, 9, true),
        (1_000, 10, 10, false),
        (10, 1_000, 10, false),
    ] {
        let levels = levels(1 << 20);
        let owner = owner("acme", "h", "s");
        fill(&levels, entry(owner.clone(), "old", NOW, entry_ttl), NOW).await;
        let then = NOW.plus_ms(after);
        let found = levels.get(&owner.key(), &owner, plan_ttl, then).await;
        assert_eq!(
            matches!(found, LookupResult::Hit(..)),
            hit,
            "{entry_ttl} {plan_ttl} {after}"
        );
        if !hit {
            assert_eq!(levels.metrics.unusable_count("stale"), 1);
            assert_eq!(
                fill(&levels, entry(owner.clone(), "new", then, 1_000), then).await,
                FillResult::Filled
            );
        }
    }
}

#[tokio::test]
async fn an_entry_that_lies_under_a_foreign_key_answers_nobody_and_is_removed() {
    let levels = levels(1 << 20);
    let (mine, theirs) = (owner("acme", "h", "s"), owner("zeta", "h", "s"));
    // As if two keys collided.
    levels
        .lru
        .insert_if_absent(&mine.key(), &Arc::new(entry(theirs, "secret", NOW, 1_000)), NOW);
    assert_eq!(
        levels.get(&mine.key(), &mine, 1_000, NOW).await,
        LookupResult::Miss
    );
    assert_eq!(levels.metrics.unusable_count("foreign"), 1);
    assert!(levels.lru.get(&mine.key()).is_none());
}

#[tokio::test]
async fn the_memory_is_bounded_by_bytes() {
    let most = 50_000;
    let levels = levels(most);
    for number in 0..500 {
        let owner = owner("acme", &number.to_string(), "s");
        fill(&levels, entry(owner, &"x".repeat(1_000), NOW, 1_000_000), NOW).await;
    }
    levels.lru.settle();
    assert!(levels.lru.bytes() <= most, "{} bytes", levels.lru.bytes());
    assert!(
        levels.lru.bytes() > most / 2,
        "{} bytes: it holds what fits",
        levels.lru.bytes()
    );
}

/// An answer of eight tokens was counted with 850 bytes and took 1,350: the cache held half as much again as it was allowed.
#[test]
fn whatever_an_entry_holds_counts() {
    let owner = owner("acme", "h", "s");
    let plain = entry(owner.clone(), "text", NOW, 1_000);
    let more = |change: fn(&mut Entry, String)| {
        let mut entry = plain.clone();
        change(&mut entry, "x".repeat(1_000));
        entry.weight()
    };
    for change in [
        (|entry, text| answer(entry).choices[0].message.text = Some(text)) as fn(&mut Entry, String),
        |entry, text| answer(entry).choices[0].message.reasoning = Some(text),
        |entry, text| answer(entry).choices[0].message.logprobs = vec![text],
        |entry, text| {
            let call = ToolCall {
                arguments: text,
                ..ToolCall::default()
            };
            answer(entry).choices[0].message.tool_calls = vec![call];
        },
        |entry, _| {
            let values = vec![0.5; 250];
            answer(entry).embeddings = vec![Embedding { index: 0, values }];
        },
        |entry, text| answer(entry).model_version = text,
        |entry, text| entry.provenance.source_request_id = text.as_str().into(),
        |entry, text| entry.provenance.model = text,
        |entry, text| entry.provenance.model_version = text,
    ] {
        assert!(more(change) >= plain.weight() + 900);
    }
    let choices = more(|entry, _| answer(entry).choices.resize(5, Choice::default())) - plain.weight();
    assert!(choices >= 4 * size_of::<Choice>(), "{choices}");
}

proptest! {
    #[test]
    fn no_two_owners_share_a_key(
        one in ("[a-z:\\n0-9]{0,12}", "[a-f0-9:]{0,12}", "[a-f0-9\\n]{0,12}"),
        two in ("[a-z:\\n0-9]{0,12}", "[a-f0-9:]{0,12}", "[a-f0-9\\n]{0,12}"),
    ) {
        let (a, b) = (owner(&one.0, &one.1, &one.2), owner(&two.0, &two.1, &two.2));
        prop_assert_eq!(a == b, a.key() == b.key());
    }

    #[test]
    fn no_two_tenants_share_a_key(one in ".{0,20}", two in ".{0,20}", hash in "[a-f0-9]{64}", signature in "[a-f0-9]{64}") {
        let (a, b) = (owner(&one, &hash, &signature), owner(&two, &hash, &signature));
        prop_assert_eq!(one == two, a.key() == b.key());
    }

    #[test]
    fn an_entry_fits_its_owner_alone(
        one in ("[ab]{1,2}", "[ab]{1,2}", "[ab]{1,2}"),
        two in ("[ab]{1,2}", "[ab]{1,2}", "[ab]{1,2}"),
    ) {
        let (mine, theirs) = (owner(&one.0, &one.1, &one.2), owner(&two.0, &two.1, &two.2));
        let expected = if mine == theirs { Ok(()) } else { Err(Unfit::Foreign) };
        prop_assert_eq!(entry(mine, "x", NOW, 10).fits(&theirs, 10, NOW), expected);
    }

    #[test]
    fn bytes_that_are_no_entry_are_none_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Entry::from_bytes(&bytes).is_none());
    }

    #[test]
    fn an_entry_survives_its_bytes_and_half_of_them_are_none(text in ".{0,80}", cut in 0.0..1.0_f64) {
        let whole = entry(owner("acme", "h", "s"), &text, NOW, 10);
        let bytes = whole.to_bytes();
        let half = &bytes[..(bytes.len() as f64 * cut) as usize];
        prop_assert!(Entry::from_bytes(half).is_none());
        prop_assert_eq!(Entry::from_bytes(&bytes), Some(whole));
    }
}
