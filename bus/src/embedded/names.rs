//! Whether the files of the log still have their names, which another program may have removed or changed.

use std::collections::BTreeSet;

use relay_log::format::segment_name;

use super::shared::Shared;
use super::syncer::SyncQueue;

/// What was looked at, and told once.
#[derive(Default)]
pub(super) struct Names {
    /// Closed segments up to this one were looked at in this turn.
    looked_at: u64,
    told: BTreeSet<u64>,
}

impl Names {
    /// Looks at the segment that is written, and at a few of the closed ones. Only the housekeeper may: it is the one that
    /// lets segments go.
    pub(super) async fn look(&mut self, shared: &Shared, syncer: &SyncQueue) {
        let unnamed = shared.log.lock().check_name().is_err();
        if unnamed {
            syncer.flush().await;
        }
        let (gone, next) = shared.log.lock().gone(self.looked_at);
        self.looked_at = next.unwrap_or(0);
        for gone in gone {
            let segment = segment_name(gone.segment);
            let error = match gone.put_back() {
                Ok(true) => {
                    tracing::error!(
                        log.segment = segment,
                        "another program removed or renamed a closed segment of the log; it is there again, since it was still open: \
                         find out what touches the folder of the log"
                    );
                    continue;
                }
                Ok(false) => None,
                Err(error) => Some(error.to_string()),
            };
            if self.told.insert(gone.segment) {
                tracing::error!(
                    log.segment = segment,
                    error,
                    "another program removed or renamed a closed segment of the log, and what it held is not there any more: give \
                     it its name back, or bring the file from a backup, and find out what touches the folder of the log"
                );
            }
        }
    }
}
