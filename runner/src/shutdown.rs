//! Two steps to the end: drain (take nothing new, finish what runs), then stop.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Handed to every service; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Shutdown {
    /// Asks everything to take nothing new.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Asks everything to end at once; implies [`Shutdown::drain`].
    pub fn stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Completes once draining begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Completes once the end is due at once.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the end is due at once.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Completes `grace` after draining began, or when a stop is asked for.
    pub async fn grace_over(&self, grace: Duration) {
        self.drain.cancelled().await;
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(grace) => {}
        }
    }
}
