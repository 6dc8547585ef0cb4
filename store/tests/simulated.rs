//! What simulated tables can do to a process: each fault, and what is left in the tables. Time is tokio's, and passes by itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the samples are for all files of tests")]

mod samples;

use std::sync::Arc;
use std::time::Duration;

use relay_clock::Life;
use relay_schemas::TimestampMs;
use relay_store::simulated::{Faults, SimulatedTables};
use relay_store::{Advance, Folded, StoreError, Tables, TraceFilter, Verdict};
use samples::small;
use tokio::time::Instant;

/// Nothing under simulation takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn step(from: Option<i64>, next: i64) -> Advance {
    Advance {
        partition: 0,
        from,
        to: Folded { next, whole_from: 0 },
    }
}

/// What one fold of the outcome of `id` at 0 comes to.
async fn fold(tables: &Tables, id: &str) -> Result<Vec<Verdict>, StoreError> {
    tables.outcomes.fold(&[small(id, 0, 0)], &[step(None, 1)]).await
}

/// Traces, partitions of which something is folded, and whether `r` has ended.
async fn holds(simulated: &SimulatedTables) -> (u64, usize, bool) {
    simulated.disturb(Faults::default());
    let tables = simulated.process(Arc::default());
    (
        tables.traces.count().await.unwrap(),
        tables.outcomes.folded().await.unwrap().len(),
        tables.outcomes.has_ended(&"r".into()).await.unwrap(),
    )
}

const NOTHING: (u64, usize, bool) = (0, 0, false);
const ALL: (u64, usize, bool) = (1, 1, true);

#[tokio::test(start_paused = true)]
async fn tables_that_are_away_do_nothing_and_say_so_at_every_call() {
    let simulated = SimulatedTables::new(1);
    let tables = simulated.process(Arc::default());
    simulated.disturb(Faults {
        unavailable: 1_000,
        ..Faults::default()
    });
    let now = TimestampMs(0);
    for result in [
        tables.database.probe().await,
        tables.traces.count().await.map(drop),
        tables.traces.find(&"r".into()).await.map(drop),
        tables.traces.list(&TraceFilter::default()).await.map(drop),
        tables.traces.delete_before(now).await.map(drop),
        fold(&tables, "r").await.map(drop),
        tables.outcomes.has_ended(&"r".into()).await.map(drop),
        tables.outcomes.folded().await.map(drop),
        tables.outcomes.forget_all().await,
        tables.outcomes.forget_before(now).await,
    ] {
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    }
    assert_eq!(holds(&simulated).await, NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_fold_that_is_told_to_be_unavailable_may_be_done_and_is_no_harm_the_second_time() {
    let simulated = SimulatedTables::new(2);
    let tables = simulated.process(Arc::default());
    simulated.disturb(Faults {
        untold: 1_000,
        ..Faults::default()
    });
    let folded = fold(&tables, "r").await;
    assert!(matches!(folded, Err(StoreError::Unavailable(_))), "{folded:?}");
    assert_eq!(holds(&simulated).await, ALL);
    let again = fold(&tables, "r").await;
    assert!(matches!(again, Err(StoreError::Moved)), "{again:?}");
    let again = tables
        .outcomes
        .fold(&[small("r", 0, 0)], &[step(Some(1), 1)])
        .await;
    assert_eq!(again.unwrap(), [Verdict::Redelivered]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_takes_its_time_before_it_is_done_and_before_it_is_told() {
    let simulated = SimulatedTables::new(3);
    let tables = simulated.process(Arc::default());
    let delay = Duration::from_millis(500);
    simulated.disturb(Faults {
        delay,
        ..Faults::default()
    });
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        tables.database.probe().await.unwrap();
        longest = longest.max(began.elapsed());
    }
    assert!(longest > delay && longest <= 2 * delay, "{longest:?}");
}

/// Killed at each moment of a fold that takes up to a second.
#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_in_a_fold_has_folded_all_of_it_or_nothing() {
    let mut seen = [0, 0];
    for killed_after in 0..200 {
        let simulated = SimulatedTables::new(killed_after / 20);
        let life = Arc::new(Life::default());
        let tables = simulated.process(Arc::clone(&life));
        simulated.disturb(Faults {
            delay: Duration::from_millis(500),
            ..Faults::default()
        });
        let folding = tokio::spawn(async move { fold(&tables, "r").await });
        tokio::time::sleep(Duration::from_millis(killed_after % 20 * 50)).await;
        let was_told = folding.is_finished();
        life.kill();
        tokio::time::sleep(PATIENCE).await;
        assert_eq!(
            folding.is_finished(),
            was_told,
            "a dead process is told nothing more"
        );
        folding.abort();
        let held = holds(&simulated).await;
        assert!([NOTHING, ALL].contains(&held), "{killed_after}: {held:?}");
        if !was_told {
            seen[usize::from(held == ALL)] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}

/// How its successor's fold goes, behind one that a process had asked for when it was stopped, where that was not done yet.
async fn behind_one_that_is_stopped(seed: u64, stop: fn(&Life)) -> Option<Result<Vec<Verdict>, StoreError>> {
    let simulated = SimulatedTables::new(seed);
    let life = Arc::new(Life::default());
    let tables = simulated.process(Arc::clone(&life));
    simulated.disturb(Faults {
        delay: Duration::from_millis(500),
        ..Faults::default()
    });
    let folding = tokio::spawn(async move { fold(&tables, "r").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop(&life);
    simulated.disturb(Faults::default());
    let successor = simulated.process(Arc::default());
    let stands_nowhere = successor.outcomes.folded().await.unwrap().is_empty();
    tokio::time::sleep(PATIENCE).await;
    let folded = successor
        .outcomes
        .fold(&[small("s", 0, 0)], &[step(None, 1)])
        .await;
    folding.abort();
    stands_nowhere.then_some(folded)
}

#[tokio::test(start_paused = true)]
async fn what_had_left_a_process_that_died_or_froze_is_done_and_its_successor_that_looked_before_is_told_that_it_moved()
 {
    for stop in [Life::kill, Life::freeze] {
        let (mut moved, mut won) = (0, 0);
        for seed in 0..40 {
            match behind_one_that_is_stopped(seed, stop).await {
                None => {}
                Some(Err(StoreError::Moved)) => moved += 1,
                Some(folded) => {
                    assert_eq!(folded.unwrap(), [Verdict::Won]);
                    won += 1;
                }
            }
        }
        assert!(moved > 0 && won > 0, "{moved} moved, {won} won");
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_one_process_changes_nothing_of_anothers_chance() {
    let mut all_took = Vec::new();
    for calls_between in [0, 3] {
        let simulated = SimulatedTables::new(8);
        simulated.disturb(Faults {
            delay: Duration::from_millis(500),
            ..Faults::default()
        });
        let (one, other) = (
            simulated.process(Arc::default()),
            simulated.process(Arc::default()),
        );
        let mut took = Vec::new();
        for _ in 0..10 {
            for _ in 0..calls_between {
                other.database.probe().await.unwrap();
            }
            let began = Instant::now();
            one.database.probe().await.unwrap();
            took.push(began.elapsed());
        }
        all_took.push(took);
    }
    assert_eq!(all_took[0], all_took[1]);
}

#[tokio::test(start_paused = true)]
async fn tables_that_somebody_empties_stand_nowhere() {
    let simulated = SimulatedTables::new(4);
    let tables = simulated.process(Arc::default());
    fold(&tables, "r").await.unwrap();
    assert_eq!(holds(&simulated).await, ALL);
    simulated.empty();
    assert_eq!(holds(&simulated).await, NOTHING);
    let goes_on = tables
        .outcomes
        .fold(&[small("s", 0, 1)], &[step(Some(1), 2)])
        .await;
    assert!(matches!(goes_on, Err(StoreError::Moved)), "{goes_on:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_refused_takes_its_batch_with_it_and_nothing_else() {
    let simulated = SimulatedTables::new(5);
    let tables = simulated.process(Arc::default());
    simulated.refuse(&"bad".into());
    let batch = [small("r", 0, 0), small("bad", 0, 1)];
    let folded = tables.outcomes.fold(&batch, &[step(None, 2)]).await;
    assert!(matches!(folded, Err(StoreError::Refused(_))), "{folded:?}");
    assert_eq!(holds(&simulated).await, NOTHING);
    assert_eq!(fold(&tables, "r").await.unwrap(), [Verdict::Won]);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_folds_once_it_thaws() {
    let simulated = SimulatedTables::new(6);
    let life = Arc::new(Life::default());
    let tables = simulated.process(Arc::clone(&life));
    life.freeze();
    let folding = tokio::spawn(async move { fold(&tables, "r").await });
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(holds(&simulated).await, NOTHING);
    life.thaw();
    assert_eq!(folding.await.unwrap().unwrap(), [Verdict::Won]);
}
