//! Deletes what is too old. Every instance does; what one has deleted, the others do not find.

use relay_schemas::TimestampMs;
use relay_store::{Outcomes, StoreError, Traces};

use crate::Config;
use crate::metrics::Metrics;

/// Tidies for ever.
pub(crate) async fn run(config: &Config, traces: &dyn Traces, outcomes: &dyn Outcomes, metrics: &Metrics) {
    loop {
        match tidy(config, traces, outcomes, TimestampMs::now()).await {
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
async fn tidy(
    config: &Config,
    traces: &dyn Traces,
    outcomes: &dyn Outcomes,
    now: TimestampMs,
) -> Result<u64, StoreError> {
    let deleted = traces
        .delete_before(now.plus_ms(-config.traces_kept_ms()))
        .await?;
    outcomes
        .forget_before(now.plus_ms(-config.winners_kept_ms()))
        .await?;
    Ok(deleted)
}
