//! What `Outcomes` must do.

use relay_schemas::TimestampMs;
use relay_store::{LoggedOutcome, Tables, Verdict};

use super::{find, fold};
use crate::places::Place;
use crate::samples::{at, complete, small};

use Verdict::{Redelivered, Superseded, Won};

pub(crate) async fn the_first_in_partition_order_wins(place: Place) {
    let tables = place.open().await;
    assert_eq!(fold(&tables, &[small("r", 1, 10)]).await, [Won]);
    assert_eq!(fold(&tables, &[small("r", 1, 11)]).await, [Superseded]);
    assert_eq!(fold(&tables, &[small("r", 1, 10)]).await, [Redelivered]);
    assert_eq!(
        fold(&tables, &[small("r", 0, 1)]).await,
        [Superseded],
        "of another partition"
    );
    assert_eq!(find(&tables, "r").await, Some(small("r", 1, 10)));
    assert_eq!(find(&tables, "other").await, None);
    assert_eq!(tables.traces.count().await.unwrap(), 1);
}

pub(crate) async fn a_lower_offset_takes_the_place_over_later(place: Place) {
    let tables = place.open().await;
    let later = at(1, 10, complete("r", "the later one"));
    assert_eq!(fold(&tables, std::slice::from_ref(&later)).await, [Won]);
    assert_eq!(fold(&tables, &[small("r", 1, 3)]).await, [Won]);
    assert_eq!(
        find(&tables, "r").await,
        Some(small("r", 1, 3)),
        "nothing of the other is left"
    );
    assert_eq!(fold(&tables, &[later]).await, [Superseded]);
    assert_eq!(tables.traces.count().await.unwrap(), 1);
}

pub(crate) async fn a_batch_is_judged_record_by_record(place: Place) {
    let tables = place.open().await;
    fold(&tables, &[small("known", 0, 5)]).await;
    let batch = [
        small("new", 0, 8),
        small("new", 0, 7),
        small("known", 0, 9),
        small("known", 0, 5),
        small("other", 1, 1),
        small("new", 0, 7),
    ];
    let expected = [Superseded, Won, Superseded, Redelivered, Won, Redelivered];
    assert_eq!(fold(&tables, &batch).await, expected);
    assert_eq!(find(&tables, "new").await, Some(small("new", 0, 7)));
    assert_eq!(fold(&tables, &[]).await, []);
}

pub(crate) async fn batches_of_every_size_are_stored(place: Place) {
    let tables = place.open().await;
    let mut logged = 0;
    for size in [1, 2, 4, 5, 31, 32, 33, 69, 300] {
        let batch: Vec<LoggedOutcome> = (0..size)
            .map(|offset| small(&format!("{size}-{offset}"), 0, offset))
            .collect();
        assert!(fold(&tables, &batch).await.iter().all(|folded| *folded == Won));
        logged += batch.len() as u64;
        assert_eq!(tables.traces.count().await.unwrap(), logged);
        let last = &batch[batch.len() - 1];
        assert_eq!(
            find(&tables, last.outcome.request_id.as_str()).await.as_ref(),
            Some(last)
        );
    }
}

pub(crate) async fn a_trace_deleted_is_not_folded_again(place: Place) {
    let tables = place.open().await;
    fold(&tables, &[small("r", 0, 5)]).await;
    let all = TimestampMs(i64::MAX);
    assert_eq!(tables.traces.delete_before(all).await.unwrap(), 1);
    assert_eq!(tables.traces.count().await.unwrap(), 0);
    assert_eq!(find(&tables, "r").await, None);
    assert_eq!(
        fold(&tables, &[small("r", 0, 5), small("r", 0, 6)]).await,
        [Redelivered, Superseded]
    );
    assert_eq!(tables.traces.count().await.unwrap(), 0);
    tables.outcomes.forget_before(all).await.unwrap();
    assert_eq!(
        fold(&tables, &[small("r", 0, 6)]).await,
        [Won],
        "also the winner is forgotten"
    );
}

fn sink(tables: Tables, batches: Vec<Vec<LoggedOutcome>>) -> tokio::task::JoinHandle<Vec<Vec<Verdict>>> {
    tokio::spawn(async move {
        let mut folded = Vec::new();
        for batch in &batches {
            folded.push(fold(&tables, batch).await);
        }
        folded
    })
}

pub(crate) async fn two_sinks_at_once_agree_on_one_winner(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    // Both see all records, as when one takes a partition over from the other in the middle of it.
    let records: Vec<LoggedOutcome> = (0..200)
        .map(|offset| small(&(offset % 40).to_string(), 0, offset))
        .collect();
    let forwards: Vec<Vec<LoggedOutcome>> = records.chunks(7).map(<[LoggedOutcome]>::to_vec).collect();
    let backwards: Vec<Vec<LoggedOutcome>> = records
        .chunks(11)
        .rev()
        .map(|batch| batch.iter().rev().cloned().collect())
        .collect();
    let (first, second) = (sink(one.clone(), forwards), sink(other.clone(), backwards));
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(one.traces.count().await.unwrap(), 40);
    for id in 0..40 {
        let lowest = small(&id.to_string(), 0, id);
        assert_eq!(find(&other, &id.to_string()).await, Some(lowest));
    }
}

pub(crate) async fn two_sinks_with_crossed_batches_do_not_wait_for_each_other_for_ever(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
    let batches = |offset: i64, backwards: bool| -> Vec<Vec<LoggedOutcome>> {
        let batch = |round: i64| {
            let mut batch: Vec<LoggedOutcome> = ids.iter().map(|id| small(id, 0, offset - round)).collect();
            if backwards {
                batch.reverse();
            }
            batch
        };
        (0..15).map(batch).collect()
    };
    // Every batch takes every place over, so each must lock every row.
    let (first, second) = (sink(one, batches(1_000, false)), sink(other, batches(999, true)));
    let all: Vec<Vec<Verdict>> = first
        .await
        .unwrap()
        .into_iter()
        .chain(second.await.unwrap())
        .collect();
    assert_eq!(all.len(), 30, "and none was turned away by a deadlock");
}
