//! What compaction knows of the keys of a slot.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Seq;
use crate::sync_end::Lost;

/// A record that may supersede others once it is on disk and old enough.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    pub key: Option<Bytes>,
    pub offset: i64,
    pub size: u32,
    pub timestamp: i64,
    pub seq: Seq,
    pub tombstone: bool,
}

/// The keys of a compacted slot.
#[derive(Debug, Default)]
pub(crate) struct Compacted {
    recent: VecDeque<Recent>,
}

impl Compacted {
    pub(crate) fn appended(&mut self, recent: Recent) {
        self.recent.push_back(recent);
    }

    /// These are not there.
    pub(crate) fn forget(&mut self, lost: &[Lost]) {
        self.recent.retain(|recent| {
            !lost
                .iter()
                .any(|lost| (lost.first..=lost.last).contains(&recent.seq))
        });
    }
}
