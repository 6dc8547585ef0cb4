//! Deletes what is too old. Every instance does; what one has deleted, the others do not find.

use relay_clock::Clock;
use relay_schemas::TimestampMs;
use relay_store::{StoreError, Tables};

use crate::Config;
use crate::metrics::Metrics;

/// Tidies for ever.
pub(crate) async fn run(config: &Config, tables: &Tables, clock: &Clock, metrics: &Metrics) {
    loop {
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
        tokio::time::sleep(config.retention_interval).await;
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
