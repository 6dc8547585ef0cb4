//! Deletes what is too old. Every instance does; what one has deleted, the others do not find.

use relay_clock::{Clock, Grace};
use relay_schemas::TimestampMs;
use relay_store::{StoreError, Tables};

use crate::Config;
use crate::metrics::Metrics;

/// Tidies for ever.
pub(crate) async fn run(config: &Config, tables: &Tables, clock: &Clock, metrics: &Metrics) {
    let mut grace = Grace::new(config.retention_grace, clock.clone());
    loop {
        tokio::time::sleep(config.retention_interval).await;
        if let Some(jumped) = grace.look() {
            tracing::warn!(
                clock.jumped_ms = jumped,
                grace = ?config.retention_grace,
                "the clock was set; no trace is deleted until the grace is over"
            );
        }
        if grace.lasts() {
            continue;
        }
        match tidy(config, tables, clock.now()).await {
            Ok(0) => {}
            Ok(deleted) => {
                tracing::info!(
                    traces.deleted = deleted,
                    "traces past their retention are deleted"
                );
                metrics.deleted(deleted);
            }
            Err(error) => tracing::warn!(%error, "retention waits for its next turn"),
        }
    }
}

/// Says how many traces went.
async fn tidy(config: &Config, tables: &Tables, now: TimestampMs) -> Result<u64, StoreError> {
    let traces_before = now.plus_ms(-config.traces_kept_ms());
    let winners_before = now.plus_ms(-config.winners_kept_ms());
    let deleted = tables.traces.delete_before(traces_before).await?;
    tables.outcomes.forget_before(winners_before).await?;
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]
    use std::sync::Arc;
    use std::time::Duration;

    use relay_clock::ManualClock;
    use relay_schemas::samples;
    use relay_store::{LoggedOutcome, SqliteOptions, SqliteStore};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY_MS: i64 = 24 * 3_600_000;

    /// Long enough for many turns.
    async fn many_turns() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Time passes meanwhile: a turn may have looked too early to count all of one step.
    async fn until_traces(tables: &Tables, expected: u64, hands: &ManualClock) {
        let counting = async {
            while tables.traces.count().await.unwrap() != expected {
                hands.advance(HOUR / 12);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let counted = tokio::time::timeout(Duration::from_secs(20), counting).await;
        counted.expect("it comes to that");
    }

    #[tokio::test]
    async fn nothing_is_deleted_right_after_a_start_or_a_jump_of_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, hands) = Clock::manual(TimestampMs(100 * DAY_MS));
        let path = folder.path().join("relay.sqlite");
        let store = SqliteStore::at(&path, SqliteOptions::default(), clock.clone());
        let tables = Tables::from(Arc::new(store));
        let ended = |id: &str, days: i64| {
            let mut outcome = samples::outcome();
            (outcome.request_id, outcome.ended_at) = (id.into(), TimestampMs(days * DAY_MS));
            LoggedOutcome {
                outcome: outcome.into(),
                partition: 0,
                offset: days,
                traceparent: None,
            }
        };
        let both = [ended("old", 60), ended("new", 99)];
        tables.outcomes.fold(&both, &[]).await.unwrap();
        let config = Config {
            retention_interval: Duration::from_millis(5),
            ..Config::default()
        };
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let test = async {
            many_turns().await;
            assert_eq!(tables.traces.count().await.unwrap(), 2, "just started");
            until_traces(&tables, 1, &hands).await;
            hands.step_to(TimestampMs(140 * DAY_MS));
            many_turns().await;
            assert_eq!(tables.traces.count().await.unwrap(), 1, "just set");
            until_traces(&tables, 0, &hands).await;
        };
        tokio::select! {
            () = run(&config, &tables, &clock, &metrics) => {}
            () = test => {}
        }
    }
}
