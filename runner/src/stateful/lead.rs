//! The leader's own records on their way into the leadership topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relay_bus::{BusError, Outgoing};
use relay_schemas::Service;
use tokio::sync::mpsc;

use super::log::LogClient;
use super::notice::NoticeKind;
use crate::crash::crash_point;
use crate::health::dependency::BUS;

/// Takes one record at a time: a heartbeat that is late is not followed by another.
pub struct LeadershipLane {
    records: mpsc::Sender<(NoticeKind, Outgoing)>,
    lost: Lost,
}

/// Whether a snapshot did not get into the log that may get there at another try.
pub(super) type Lost = Arc<AtomicBool>;

impl LeadershipLane {
    /// A lane, and where what it takes comes out.
    pub(super) fn new() -> (Self, mpsc::Receiver<(NoticeKind, Outgoing)>, Lost) {
        let (sender, records) = mpsc::channel(1);
        let lost = Lost::default();
        let lane = Self {
            records: sender,
            lost: Arc::clone(&lost),
        };
        (lane, records, lost)
    }

    /// Whether the record before is out of the way.
    pub fn is_free(&self) -> bool {
        self.records.capacity() > 0
    }

    /// Appends a record. (A lane that is not free takes none.)
    pub fn write(&self, kind: NoticeKind, record: Outgoing) {
        let _ = self.records.try_send((kind, record));
    }

    /// Whether a snapshot was lost since this was asked last.
    pub fn lost_snapshot(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

/// Appends until the lane is dropped. One try each: what a lost one said, the next one says; that a snapshot was lost is told.
pub(super) async fn append(
    log: LogClient,
    service: Service,
    mut records: mpsc::Receiver<(NoticeKind, Outgoing)>,
    lost: Lost,
) -> Result<(), BusError> {
    let mut backoff = log.backoff();
    let runtime = log.runtime();
    while let Some((kind, record)) = records.recv().await {
        let topic = record.topic.clone();
        if kind == NoticeKind::Snapshot {
            crash_point(service, "before_snapshot");
        }
        match runtime.bus.publish(vec![record], Vec::new()).await {
            Ok(_) => backoff.reset(),
            Err(error) if error.may_pass() => {
                runtime.health.down(BUS, error.to_string());
                lost.fetch_or(kind == NoticeKind::Snapshot, Ordering::Relaxed);
                backoff.wait().await;
            }
            Err(error @ BusError::TooLarge { .. }) => {
                tracing::error!(messaging.topic = topic.as_str(), %error, "a snapshot does not fit into its topic; recovery falls back on an older one");
            }
            Err(error) => return Err(error),
        }
        if kind == NoticeKind::Snapshot {
            crash_point(service, "after_snapshot");
        }
    }
    Ok(())
}
