//! Whether the control seam works: over one that does not, every worker is silent, and that is no reason to hand over.

use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, Signal};

/// Between two probes, and the longest that one may take: together less than a pool may sensibly be without a worker.
const EVERY: Duration = Duration::from_secs(1);

/// Tells the loop how the seam is, again and again, until it is dropped.
pub(super) async fn watch(context: Arc<Context>) {
    loop {
        let probe = tokio::time::timeout(EVERY, context.control.probe()).await;
        let works = matches!(probe, Ok(Ok(())));
        context.signal(Signal::Seam(works)).await;
        tokio::time::sleep(EVERY).await;
    }
}
