//! What `Outcomes` must do.

use relay_schemas::TimestampMs;
use relay_store::{Advance, Folded, LoggedOutcome, StoreError, Tables, Verdict};

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

/// A process may die between the two deletions, whichever comes first.
pub(crate) async fn a_trace_that_outlived_its_winner_is_written_anew(place: Place) {
    let tables = place.open().await;
    fold(
        &tables,
        &[at(0, 5, complete("r", "the older one")), small("s", 0, 6)],
    )
    .await;
    let all = TimestampMs(i64::MAX);
    tables.outcomes.forget_before(all).await.unwrap();
    assert_eq!(tables.traces.count().await.unwrap(), 2);
    assert_eq!(
        fold(&tables, &[small("r", 0, 9), small("new", 0, 10)]).await,
        [Won, Won]
    );
    assert_eq!(find(&tables, "r").await, Some(small("r", 0, 9)));
    assert_eq!(tables.traces.count().await.unwrap(), 3);
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
    let ended = async |id: &str| tables.outcomes.has_ended(&id.into()).await.unwrap();
    assert!(ended("r").await && !ended("other").await);
    assert_eq!(
        fold(&tables, &[small("r", 0, 5), small("r", 0, 6)]).await,
        [Redelivered, Superseded]
    );
    assert_eq!(tables.traces.count().await.unwrap(), 0);
    tables.outcomes.forget_before(all).await.unwrap();
    assert!(!ended("r").await);
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

fn step(partition: i32, from: Option<i64>, next: i64) -> Advance {
    let whole_from = 7;
    Advance {
        partition,
        from,
        to: Folded { next, whole_from },
    }
}

async fn stands(tables: &Tables) -> Vec<(i32, i64)> {
    let folded = tables.outcomes.folded().await.unwrap();
    folded
        .into_iter()
        .map(|(partition, folded)| (partition, folded.next))
        .collect()
}

pub(crate) async fn how_far_is_folded_is_noted_with_the_rows(place: Place) {
    let tables = place.open().await;
    assert_eq!(stands(&tables).await, []);
    let steps = [step(3, None, 6), step(0, None, 1)];
    let folded = tables
        .outcomes
        .fold(&[small("r", 3, 5), small("s", 0, 0)], &steps)
        .await;
    assert_eq!(folded.unwrap(), [Won, Won]);
    drop(tables);
    let tables = place.open().await;
    assert_eq!(stands(&tables).await, [(0, 1), (3, 6)]);
    let of_three = tables.outcomes.folded().await.unwrap()[&3];
    assert!(!of_three.is_whole(), "6 of 7");
    // Nothing but what cannot be read, for example.
    assert_eq!(
        tables.outcomes.fold(&[], &[step(3, Some(6), 7)]).await.unwrap(),
        []
    );
    assert!(tables.outcomes.folded().await.unwrap()[&3].is_whole());
    // A log that begins anew.
    tables.outcomes.fold(&[], &[step(3, Some(7), 0)]).await.unwrap();
    assert_eq!(stands(&tables).await, [(0, 1), (3, 0)]);
}

/// One statement takes steps in some partitions, and a log may have any number of them.
pub(crate) async fn steps_in_any_number_of_partitions_are_taken_together_or_not_at_all(place: Place) {
    let tables = place.open().await;
    let steps = |from: Option<i64>, next: i64| -> Vec<Advance> {
        (0..150)
            .rev()
            .map(|partition| step(partition, from, next))
            .collect()
    };
    tables.outcomes.fold(&[], &steps(None, 4)).await.unwrap();
    tables.outcomes.fold(&[], &steps(Some(4), 9)).await.unwrap();
    assert_eq!(
        stands(&tables).await,
        (0..150).map(|partition| (partition, 9)).collect::<Vec<_>>()
    );
    for wrong in [
        step(149, Some(8), 10),
        step(149, None, 10),
        step(150, Some(9), 10),
    ] {
        let mut steps = steps(Some(9), 10);
        steps[0] = wrong;
        let moved = tables.outcomes.fold(&[small("r", 0, 9)], &steps).await;
        assert!(matches!(moved, Err(StoreError::Moved)), "{moved:?}");
    }
    // One that is new beside those that are known.
    let mut steps = steps(Some(9), 10);
    steps.push(step(150, None, 1));
    assert_eq!(
        tables.outcomes.fold(&[small("r", 0, 9)], &steps).await.unwrap(),
        [Won]
    );
    let stood = stands(&tables).await;
    assert_eq!((stood.len(), stood[0], stood[150]), (151, (0, 10), (150, 1)));
    assert_eq!(tables.traces.count().await.unwrap(), 1);
}

pub(crate) async fn a_fold_that_begins_elsewhere_than_the_tables_stand_stores_nothing(place: Place) {
    let tables = place.open().await;
    tables
        .outcomes
        .fold(&[], &[step(0, None, 10), step(1, None, 10)])
        .await
        .unwrap();
    let elsewhere: [&[Advance]; 4] = [
        &[step(0, None, 12)],
        &[step(0, Some(9), 12)],
        &[step(1, Some(10), 12), step(0, Some(11), 12)],
        &[step(2, Some(0), 12)],
    ];
    for steps in elsewhere {
        let folded = tables.outcomes.fold(&[small("r", 0, 11)], steps).await;
        assert!(matches!(folded, Err(StoreError::Moved)), "{steps:?}: {folded:?}");
    }
    assert_eq!(find(&tables, "r").await, None);
    assert_eq!(stands(&tables).await, [(0, 10), (1, 10)]);
}

pub(crate) async fn two_sinks_of_one_partition_do_not_fold_it_twice(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    one.outcomes.fold(&[], &[step(0, None, 0)]).await.unwrap();
    for offset in 0..20 {
        let (batch, steps) = (
            [small(&offset.to_string(), 0, offset)],
            [step(0, Some(offset), offset + 1)],
        );
        let (first, second) = tokio::join!(
            one.outcomes.fold(&batch, &steps),
            other.outcomes.fold(&batch, &steps)
        );
        let folded = [&first, &second]
            .into_iter()
            .filter(|folded| folded.is_ok())
            .count();
        assert_eq!(folded, 1, "{first:?} {second:?}");
        assert!(
            [first, second]
                .iter()
                .any(|folded| matches!(folded, Err(StoreError::Moved)))
        );
    }
}

pub(crate) async fn tables_that_are_emptied_know_nothing_and_stand_nowhere(place: Place) {
    let tables = place.open().await;
    let sink = place.open().await;
    sink.outcomes
        .fold(&[small("r", 0, 5)], &[step(0, None, 6)])
        .await
        .unwrap();
    tables.outcomes.forget_all().await.unwrap();
    assert_eq!(
        (find(&tables, "r").await, stands(&tables).await),
        (None, Vec::new())
    );
    let goes_on = sink
        .outcomes
        .fold(&[small("s", 0, 6)], &[step(0, Some(6), 7)])
        .await;
    assert!(matches!(goes_on, Err(StoreError::Moved)), "{goes_on:?}");
    let again = sink.outcomes.fold(&[small("r", 0, 5)], &[step(0, None, 6)]).await;
    assert_eq!(again.unwrap(), [Won]);
}
