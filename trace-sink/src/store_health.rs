//! Says on the health board whether the store is there, also while nothing is folded.

use relay_runner::Health;
use relay_store::Database;

use crate::Config;
use crate::batcher::STORE;

/// Looks after it for ever. While records wait for the store, the runner says so itself; this only ever tells of a change.
pub(crate) async fn watch(config: &Config, database: &dyn Database, health: &Health) {
    let mut known = None;
    loop {
        let missing = database.probe().await.err().map(|error| error.to_string());
        if known.as_ref() != Some(&missing) {
            match &missing {
                None => health.up(STORE),
                Some(reason) => {
                    tracing::warn!(reason, "the store is missing");
                    health.down(STORE, reason.as_str());
                }
            }
            known = Some(missing);
        }
        tokio::time::sleep(config.probe_interval).await;
    }
}
