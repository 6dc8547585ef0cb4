//! What the disk has lost, for as long as a record of it may still come to be acknowledged.

use std::ops::Range;

use relay_log::{Lost, Seq};

/// Lost entries that somebody may still ask about. The writer hands records over after it has appended them, so that some come
/// only after the sync that lost them.
#[derive(Debug, Default)]
pub(super) struct LostEntries(Vec<Lost>);

impl LostEntries {
    /// Adds what a sync has lost.
    pub(super) fn add(&mut self, lost: &[Lost]) {
        self.0.extend_from_slice(lost);
    }

    /// Whether any of these entries is lost.
    pub(super) fn hold(&self, seqs: &Range<Seq>) -> bool {
        self.0
            .iter()
            .any(|lost| lost.first < seqs.end && seqs.start <= lost.last)
    }

    /// Forgets what lies before `seq`: records come in the order of their numbers.
    pub(super) fn forget_before(&mut self, seq: Seq) {
        self.0.retain(|lost| lost.last >= seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_comes_after_the_sync_that_lost_it_is_still_lost() {
        let mut lost = LostEntries::default();
        lost.add(&[Lost { first: 5, last: 6 }]);
        // A later sync loses nothing, and what was in flight meanwhile comes now.
        lost.add(&[]);
        assert!(!lost.hold(&(3..5)));
        assert!(lost.hold(&(6..8)));
        lost.forget_before(6);
        assert!(lost.hold(&(6..8)), "its own batch is not done yet");
        lost.forget_before(7);
        assert!(!lost.hold(&(6..8)));
    }
}
