//! The cases. Each takes an empty place.

use std::collections::HashSet;
use std::sync::Arc;

use relay_schemas::{OutcomeStatus, TimestampMs, TokenCount};
use relay_store::{Folded, Store, StoreError, Stored, TraceFilter};

use crate::Place;
use crate::samples::{at, bare, complete, small};

use Folded::{Again, Superseded, Won};

async fn fold(store: &dyn Store, batch: &[Stored]) -> Vec<Folded> {
    store.fold(batch).await.unwrap()
}

async fn winner(store: &dyn Store, id: &str) -> Option<Stored> {
    store.winner(&id.into()).await.unwrap()
}

async fn comes_back(place: Place, stored: Stored) {
    let store = place.open().await;
    assert_eq!(fold(&*store, std::slice::from_ref(&stored)).await, [Won]);
    assert_eq!(
        winner(&*store, stored.outcome.request_id.as_str()).await,
        Some(stored)
    );
}

pub(crate) async fn an_outcome_comes_back_as_it_was(place: Place) {
    comes_back(place, at(5, 1 << 40, complete("r", "the answer"))).await;
}

pub(crate) async fn an_outcome_of_which_little_is_known_comes_back_as_it_was(place: Place) {
    comes_back(place, at(0, 0, bare("r", "acme", OutcomeStatus::Failed, 7))).await;
}

pub(crate) async fn text_that_databases_dislike_is_kept(place: Place) {
    let store = place.open().await;
    let mut outcome = complete("r", "nul \0, quote ' \" \\, U+FFFF \u{FFFF}, 😀");
    outcome.message = Some("a \0 in a reason".to_owned());
    let stored = at(0, 0, outcome);
    assert_eq!(fold(&*store, std::slice::from_ref(&stored)).await, [Won]);
    let back = winner(&*store, "r").await.unwrap().outcome;
    assert_eq!(back.answer, stored.outcome.answer);
    assert_eq!(back.message.as_deref(), Some("a \u{FFFD} in a reason"));
}

pub(crate) async fn numbers_out_of_range_are_stored_as_they_are(place: Place) {
    let mut outcome = complete("r", "");
    outcome.timings.latency_ms = i64::MIN;
    outcome.cost_micro_usd.0 = i64::MAX;
    outcome.usage.prompt_tokens = TokenCount(u32::MAX);
    comes_back(place, at(i32::MAX, i64::MAX, outcome)).await;
}

pub(crate) async fn the_first_in_partition_order_wins(place: Place) {
    let store = place.open().await;
    assert_eq!(fold(&*store, &[small("r", 1, 10)]).await, [Won]);
    assert_eq!(fold(&*store, &[small("r", 1, 11)]).await, [Superseded]);
    assert_eq!(fold(&*store, &[small("r", 1, 10)]).await, [Again]);
    assert_eq!(
        fold(&*store, &[small("r", 0, 1)]).await,
        [Superseded],
        "of another partition"
    );
    assert_eq!(winner(&*store, "r").await, Some(small("r", 1, 10)));
    assert_eq!(winner(&*store, "other").await, None);
    assert_eq!(store.count().await.unwrap(), 1);
}

pub(crate) async fn a_lower_offset_takes_the_place_over_later(place: Place) {
    let store = place.open().await;
    let later = at(1, 10, complete("r", "the later one"));
    assert_eq!(fold(&*store, std::slice::from_ref(&later)).await, [Won]);
    assert_eq!(fold(&*store, &[small("r", 1, 3)]).await, [Won]);
    assert_eq!(
        winner(&*store, "r").await,
        Some(small("r", 1, 3)),
        "nothing of the other is left"
    );
    assert_eq!(fold(&*store, &[later]).await, [Superseded]);
    assert_eq!(store.count().await.unwrap(), 1);
}

pub(crate) async fn a_batch_is_judged_record_by_record(place: Place) {
    let store = place.open().await;
    fold(&*store, &[small("known", 0, 5)]).await;
    let batch = [
        small("new", 0, 8),
        small("new", 0, 7),
        small("known", 0, 9),
        small("known", 0, 5),
        small("other", 1, 1),
        small("new", 0, 7),
    ];
    let expected = [Superseded, Won, Superseded, Again, Won, Again];
    assert_eq!(fold(&*store, &batch).await, expected);
    assert_eq!(winner(&*store, "new").await, Some(small("new", 0, 7)));
    assert_eq!(fold(&*store, &[]).await, []);
}

pub(crate) async fn batches_of_every_size_are_stored(place: Place) {
    let store = place.open().await;
    let mut stored = 0;
    for size in [1, 2, 4, 5, 31, 32, 33, 69, 300] {
        let batch: Vec<Stored> = (0..size)
            .map(|offset| small(&format!("{size}-{offset}"), 0, offset))
            .collect();
        assert!(fold(&*store, &batch).await.iter().all(|folded| *folded == Won));
        stored += batch.len() as u64;
        assert_eq!(store.count().await.unwrap(), stored);
        let last = &batch[batch.len() - 1];
        assert_eq!(
            winner(&*store, last.outcome.request_id.as_str()).await.as_ref(),
            Some(last)
        );
    }
}

pub(crate) async fn a_trace_deleted_is_not_folded_again(place: Place) {
    let store = place.open().await;
    fold(&*store, &[small("r", 0, 5)]).await;
    let all = TimestampMs(i64::MAX);
    assert_eq!(store.retain(all, TimestampMs(0)).await.unwrap(), 1);
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(winner(&*store, "r").await, None);
    assert_eq!(
        fold(&*store, &[small("r", 0, 5), small("r", 0, 6)]).await,
        [Again, Superseded]
    );
    assert_eq!(store.count().await.unwrap(), 0);
    store.retain(all, all).await.unwrap();
    assert_eq!(
        fold(&*store, &[small("r", 0, 6)]).await,
        [Won],
        "also the winner is forgotten"
    );
}

pub(crate) async fn what_is_too_old_goes_and_what_is_not_stays(place: Place) {
    let store = place.open().await;
    let ended = |id: u32, at_ms: i64| {
        at(
            0,
            i64::from(id),
            bare(&id.to_string(), "acme", OutcomeStatus::Failed, at_ms),
        )
    };
    let batch: Vec<Stored> = (0..2_500)
        .map(|id| ended(id, 99))
        .chain([ended(9_000, 100), ended(9_001, 101)])
        .collect();
    fold(&*store, &batch).await;
    assert_eq!(
        store.retain(TimestampMs(100), TimestampMs(101)).await.unwrap(),
        2_500
    );
    assert_eq!(store.count().await.unwrap(), 2);
    assert_eq!(
        fold(&*store, &[ended(1, 99), ended(9_001, 101)]).await,
        [Won, Again]
    );
    assert_eq!(store.retain(TimestampMs(0), TimestampMs(0)).await.unwrap(), 0);
}

/// Folds `batches` in turn, as one sink would.
fn sink(store: Arc<dyn Store>, batches: Vec<Vec<Stored>>) -> tokio::task::JoinHandle<Vec<Vec<Folded>>> {
    tokio::spawn(async move {
        let mut folded = Vec::new();
        for batch in &batches {
            folded.push(fold(&*store, batch).await);
        }
        folded
    })
}

pub(crate) async fn two_sinks_at_once_agree_on_one_winner(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    // Both see all records, as when one takes a partition over from the other in the middle of it.
    let records: Vec<Stored> = (0..200)
        .map(|offset| small(&(offset % 40).to_string(), 0, offset))
        .collect();
    let forwards: Vec<Vec<Stored>> = records.chunks(7).map(<[Stored]>::to_vec).collect();
    let backwards: Vec<Vec<Stored>> = records
        .chunks(11)
        .rev()
        .map(|batch| batch.iter().rev().cloned().collect())
        .collect();
    let (first, second) = (
        sink(Arc::clone(&one), forwards),
        sink(Arc::clone(&other), backwards),
    );
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(one.count().await.unwrap(), 40);
    for id in 0..40 {
        let lowest = small(&id.to_string(), 0, id);
        assert_eq!(winner(&*other, &id.to_string()).await, Some(lowest));
    }
}

pub(crate) async fn two_sinks_with_crossed_batches_do_not_wait_for_each_other_for_ever(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
    let batches = |offset: i64, backwards: bool| -> Vec<Vec<Stored>> {
        let batch = |round: i64| {
            let mut batch: Vec<Stored> = ids.iter().map(|id| small(id, 0, offset - round)).collect();
            if backwards {
                batch.reverse();
            }
            batch
        };
        (0..15).map(batch).collect()
    };
    // Every batch takes every place over, so each must lock every row.
    let (first, second) = (sink(one, batches(1_000, false)), sink(other, batches(999, true)));
    let all: Vec<Vec<Folded>> = first
        .await
        .unwrap()
        .into_iter()
        .chain(second.await.unwrap())
        .collect();
    assert_eq!(all.len(), 30, "and none was turned away by a deadlock");
}

pub(crate) async fn the_list_is_filtered_and_paged_without_gaps(place: Place) {
    let store = place.open().await;
    let mut batch = Vec::new();
    for number in 0..30_i64 {
        let tenant = if number % 3 == 0 { "acme" } else { "globex" };
        let status = if number % 2 == 0 {
            OutcomeStatus::Failed
        } else {
            OutcomeStatus::Expired
        };
        // Five end in each millisecond.
        batch.push(at(
            0,
            number,
            bare(&format!("r{number:02}"), tenant, status, 1_000 + number / 5),
        ));
    }
    batch.push(at(0, 99, complete("full", "answer")));
    fold(&*store, &batch).await;

    let filter = TraceFilter {
        tenant: Some("acme".into()),
        status: Some(OutcomeStatus::Failed),
        limit: 2,
        ..TraceFilter::default()
    };
    assert_eq!(pages(&*store, filter).await, ["r24", "r18", "r12", "r06", "r00"]);
    let all = pages(
        &*store,
        TraceFilter {
            limit: 4,
            ..TraceFilter::default()
        },
    )
    .await;
    let expected: Vec<String> = ["full".to_owned()]
        .into_iter()
        .chain((0..30).rev().map(|number| format!("r{number:02}")))
        .collect();
    assert_eq!(all, expected);
    let before = TraceFilter {
        before: Some(TimestampMs(1_001)),
        limit: 100,
        ..TraceFilter::default()
    };
    assert_eq!(pages(&*store, before).await, ["r04", "r03", "r02", "r01", "r00"]);
    let line = &store
        .traces(&TraceFilter {
            limit: 1,
            ..TraceFilter::default()
        })
        .await
        .unwrap()[0];
    assert_eq!(
        (line.tenant.as_str(), line.status, line.model.as_str()),
        ("acme", OutcomeStatus::Completed, "tiny")
    );
    assert_eq!(
        (
            line.latency_ms,
            line.ttft_ms,
            line.backend_latency_ms,
            line.queue_wait_ms
        ),
        (120, Some(40), Some(80), Some(20))
    );
    assert_eq!(
        (line.usage.prompt_tokens.0, line.cost_micro_usd.0, line.ended_at.0),
        (17, 1_234, 1_700_000_000_120)
    );
}

/// Every id of the list, read page by page.
async fn pages(store: &dyn Store, mut filter: TraceFilter) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = store.traces(&filter).await.unwrap();
        let Some(last) = page.last() else {
            let distinct: HashSet<&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "nothing twice");
            return ids;
        };
        filter.before = Some(last.ended_at);
        filter.before_id = Some(last.request_id.clone());
        assert!(page.len() <= filter.limit as usize);
        ids.extend(page.iter().map(|line| line.request_id.as_str().to_owned()));
    }
}

pub(crate) async fn the_list_is_never_longer_than_allowed(place: Place) {
    let store = place.open().await;
    let most = i64::from(TraceFilter::MOST);
    let batch: Vec<Stored> = (0..=most)
        .map(|offset| small(&offset.to_string(), 0, offset))
        .collect();
    fold(&*store, &batch).await;
    let filter = TraceFilter {
        limit: u32::MAX,
        ..TraceFilter::default()
    };
    assert_eq!(store.traces(&filter).await.unwrap().len() as i64, most);
    assert_eq!(store.traces(&TraceFilter::default()).await.unwrap().len(), 0);
}

pub(crate) async fn everything_is_still_there_after_opening_again(place: Place) {
    let store = place.open().await;
    fold(&*store, &[small("r", 0, 5)]).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(winner(&*store, "r").await, Some(small("r", 0, 5)));
    assert_eq!(fold(&*store, &[small("r", 0, 5)]).await, [Again]);
}

pub(crate) async fn a_store_that_is_there_can_be_probed(place: Place) {
    place.open().await.probe().await.unwrap();
}

/// Every call says so, and none takes longer than its limit by much.
pub(crate) async fn is_unavailable(store: &dyn Store) {
    let long = std::time::Duration::from_secs(20);
    let calls = async {
        let now = TimestampMs(0);
        for result in [
            store.probe().await,
            store.count().await.map(drop),
            store.winner(&"r".into()).await.map(drop),
            store.traces(&TraceFilter::default()).await.map(drop),
            store.fold(&[small("r", 0, 0)]).await.map(drop),
            store.retain(now, now).await.map(drop),
        ] {
            assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        }
    };
    tokio::time::timeout(long, calls).await.expect("bounded time");
}
