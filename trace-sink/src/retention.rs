//! Deletes what is too old. Every instance does; what one has deleted, the others do not find.

use relay_schemas::TimestampMs;
use relay_store::Store;

use crate::Config;
use crate::metrics::Metrics;

/// Tidies for ever.
pub(crate) async fn run(config: &Config, store: &dyn Store, metrics: &Metrics) {
    loop {
        let now = TimestampMs::now();
        let traces_before = now.plus_ms(-config.traces_kept_ms());
        let winners_before = now.plus_ms(-config.winners_kept_ms());
        match store.retain(traces_before, winners_before).await {
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
