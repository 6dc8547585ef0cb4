//! Sleeping until something is due.

use std::time::Duration;

use relay_schemas::TimestampMs;

/// Sleeps until `due`; for ever if nothing is due.
pub async fn sleep_until(due: Option<TimestampMs>, now: TimestampMs) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_millis(due.since_ms(now).max(0) as u64)).await,
        None => std::future::pending().await,
    }
}
