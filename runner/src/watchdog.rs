//! Parts of a process that make no progress though there is work: a part says when it stands still and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_clock::Clock;

/// The parts that stand still now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Watchdog(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    last: u64,
    standing: BTreeMap<u64, Standing>,
}

#[derive(Debug)]
struct Standing {
    since: Instant,
    what: String,
}

impl Watchdog {
    /// A part that is watched until it is dropped.
    pub fn part(&self) -> Part {
        let mut board = self.0.lock();
        board.last += 1;
        Part {
            watchdog: self.clone(),
            id: board.last,
        }
    }

    /// The part that has stood still for longest, at least for so long: for how long, and what it says.
    pub(crate) fn longest(&self, now: Instant, at_least: Duration) -> Option<(Duration, String)> {
        let board = self.0.lock();
        let oldest = board.standing.values().min_by_key(|standing| standing.since)?;
        let lasts = now.saturating_duration_since(oldest.since);
        (lasts >= at_least).then(|| (lasts, oldest.what.clone()))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().standing.len()
    }
}

/// One part of a process, and whether it stands still.
#[derive(Debug)]
pub struct Part {
    watchdog: Watchdog,
    id: u64,
}

impl Part {
    /// It makes no progress though there is work: `what` says which part and what work.
    pub fn stands_still(&self, what: String, clock: &Clock) {
        let since = clock.instant();
        let mut board = self.watchdog.0.lock();
        let standing = board.standing.entry(self.id).or_insert(Standing {
            since,
            what: String::new(),
        });
        standing.what = what;
    }

    /// It makes progress, or has nothing to do.
    pub fn moves(&self) {
        self.watchdog.0.lock().standing.remove(&self.id);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.moves();
    }
}
