//! What the planner and the cache service share: reading on in the log, one record after the other, with a commit that a crash may forget.

/// How far a consumer is.
#[derive(Debug, Default)]
pub(crate) struct Consumer {
    /// What it reads next.
    pub next: i64,
    /// What it would read next after a crash.
    pub committed: i64,
    /// Whether the record at `next` is being published.
    pub busy: bool,
    /// How far it goes back once that is acknowledged: a rebalance does not recall what is on its way.
    back: i64,
    /// Whether nothing comes of the next record.
    pub loses_next: bool,
}

impl Consumer {
    /// Passes over the next record, where it was told to lose it; says whether it did.
    pub fn loses(&mut self) -> bool {
        let loses = std::mem::take(&mut self.loses_next);
        if loses {
            self.next += 1;
            self.committed = self.next;
        }
        loses
    }

    /// Starts again where it has committed.
    pub fn crash(&mut self) {
        *self = Self {
            next: self.committed,
            committed: self.committed,
            ..Self::default()
        };
    }

    /// Reads `back` records again.
    pub fn reread(&mut self, back: i64) {
        if self.busy {
            self.back = back;
            return;
        }
        self.committed = (self.committed - back).max(0);
        self.next = self.committed;
    }

    /// What it published is acknowledged: on to the next one; the commit may be forgotten.
    pub fn finished(&mut self, commits: bool) {
        self.busy = false;
        self.next += 1;
        if commits {
            self.committed = self.next;
        }
        if self.back > 0 {
            let back = std::mem::take(&mut self.back);
            self.reread(back);
        }
    }
}
