//! The leader's own records on their way into the leadership topic.

use relay_bus::{BusError, Outgoing};
use relay_schemas::Service;
use tokio::sync::mpsc;

use super::log::LogClient;
use super::notice::NoticeKind;
use crate::crash::crash_point;
use crate::health::dependency::BUS;

/// Takes one record at a time: a heartbeat that is late is not followed by another.
pub struct LeadershipLane(mpsc::Sender<(NoticeKind, Outgoing)>);

impl LeadershipLane {
    /// A lane, and where what it takes comes out.
    pub(super) fn new() -> (Self, mpsc::Receiver<(NoticeKind, Outgoing)>) {
        let (sender, records) = mpsc::channel(1);
        (Self(sender), records)
    }

    /// Whether the record before is out of the way.
    pub fn is_free(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Appends a record. (A lane that is not free takes none.)
    pub fn write(&self, kind: NoticeKind, record: Outgoing) {
        let _ = self.0.try_send((kind, record));
    }
}

/// Appends until the lane is dropped. One try each: what a lost one said, the next one says.
pub(super) async fn append(
    log: LogClient,
    service: Service,
    mut records: mpsc::Receiver<(NoticeKind, Outgoing)>,
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
                backoff.wait().await;
            }
            Err(error @ BusError::TooLarge { .. }) => {
                tracing::error!(messaging.topic = topic, %error, "a snapshot does not fit into its topic; recovery falls back on an older one");
            }
            Err(error) => return Err(error),
        }
        if kind == NoticeKind::Snapshot {
            crash_point(service, "after_snapshot");
        }
    }
    Ok(())
}
