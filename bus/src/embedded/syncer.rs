//! Waits for the disk: one sync for all that has gathered, then it acknowledges in order. When a sync fails it is also the one that
//! tries to go on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use relay_log::{Lost, Seq, SyncEnd, Unreadable};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::health::Trouble;
use super::lost::LostEntries;
use super::partition::PartitionLog;
use super::shared::Shared;
use crate::{BusError, Position, Record};

/// Pauses between two tries to go on after a failed sync.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After so many tries (about ten seconds) what the disk does not give back is given up, so that the rest goes on.
const PATIENT_TRIES: u32 = 15;

/// Written records on their way to being acknowledged.
pub(super) struct Done {
    pub records: Vec<(Arc<PartitionLog>, Record)>,
    pub answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
    pub room: OwnedSemaphorePermit,
    /// The numbers of their entries in the log.
    pub seqs: Range<Seq>,
}

impl Done {
    /// Shows the records to their readers and answers the publisher.
    pub(super) fn finish(self) {
        self.settle(false);
    }

    fn settle(self, was_deferred: bool) {
        let mut positions = Vec::with_capacity(self.records.len());
        for (log, record) in self.records {
            positions.push(record.position.clone());
            log.show(record);
            if was_deferred {
                log.lock().unsynced -= 1;
            }
        }
        drop(self.room);
        let _ = self.answer.send(Ok(positions));
    }

    /// Tells the publisher that nobody knows.
    fn give_up(self, reason: &str) {
        for (log, _) in &self.records {
            log.lock().unsynced -= 1;
        }
        let reason = format!("syncing the log failed, and the result is unknown: {reason}");
        let _ = self.answer.send(Err(BusError::Unavailable(reason)));
    }
}

/// What the syncer is asked.
enum Wish {
    Finish(Done),
    /// Sync whatever is not; then drop the sender, if somebody waits for that.
    Flush(Option<oneshot::Sender<()>>),
}

/// The others' end of the syncer.
#[derive(Clone)]
pub(super) struct SyncQueue(mpsc::UnboundedSender<Wish>);

pub(super) struct Syncer {
    shared: Arc<Shared>,
    wishes: mpsc::UnboundedReceiver<Wish>,
    lost: LostEntries,
}

impl SyncQueue {
    pub(super) fn finish_when_synced(&self, done: Done) {
        if let Err(mpsc::error::SendError(Wish::Finish(done))) = self.0.send(Wish::Finish(done)) {
            done.give_up("the log is closed");
        }
    }

    /// Waits until everything appended before is on disk, or until the syncer has given up.
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Wish::Flush(Some(done))).is_ok() {
            let _ = wait.await;
        }
    }

    /// Has everything appended before synced, and does not wait for it.
    pub(super) fn flush_soon(&self) {
        let _ = self.0.send(Wish::Flush(None));
    }
}

impl Syncer {
    pub(super) fn new(shared: Arc<Shared>) -> (SyncQueue, Self) {
        let (queue, wishes) = mpsc::unbounded_channel();
        let syncer = Self {
            shared,
            wishes,
            lost: LostEntries::default(),
        };
        (SyncQueue(queue), syncer)
    }

    /// Runs until every [`SyncQueue`] is dropped; then everything is on disk, unless the disk fails. Blocks while the disk syncs,
    /// and waits besides for as long as `slow` says each time.
    pub(super) async fn run(mut self, mut slow: impl FnMut() -> Duration + Send) {
        while let Some(first) = self.wishes.recv().await {
            let (mut waiting, mut flushes) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(wish) = next {
                match wish {
                    Wish::Finish(done) => waiting.push(done),
                    Wish::Flush(done) => flushes.push(done),
                }
                next = self.wishes.try_recv().ok();
            }
            self.sync(waiting, &mut slow).await;
        }
        // The housekeeper is gone, and without its name a segment goes with this process: where it has none, it gets it back now.
        let _ = self.shared.log.lock().check_name();
        self.sync(Vec::new(), &mut slow).await;
        // Proves that the last records were on disk: what is damaged later is not taken for torn.
        let marked = self.shared.log.lock().mark(self.shared.clock.now().0);
        if marked.is_ok_and(|marked| marked) {
            self.sync(Vec::new(), &mut slow).await;
        }
    }

    /// Syncs until all that waits is on disk or lost.
    async fn sync(&mut self, mut waiting: Vec<Done>, slow: &mut (impl FnMut() -> Duration + Send)) {
        for tries in 0.. {
            let unreadable = if tries < PATIENT_TRIES {
                Unreadable::Wait
            } else {
                Unreadable::GiveUp
            };
            let end = self.once(unreadable, slow).await;
            waiting = self.answer(waiting, &end);
            let Some(reason) = end.failing else {
                if waiting.is_empty() {
                    return;
                }
                continue;
            };
            self.shared.health.fails(Trouble::Failing(reason.clone()));
            if self.shared.health.is_closed() {
                for done in waiting {
                    done.give_up(&reason);
                }
                return;
            }
            let pause = FIRST_PAUSE * 2_u32.pow(tries.min(10));
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
        }
    }

    async fn once(&self, unreadable: Unreadable, slow: &mut (impl FnMut() -> Duration + Send)) -> SyncEnd {
        let now = || self.shared.clock.now().0;
        let ticket = self.shared.log.lock().begin_sync();
        if let Some(ticket) = ticket {
            let pause = slow();
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let result = ticket.run();
            return self.shared.log.lock().end_sync(ticket, result, now());
        }
        self.shared.log.lock().mend(now(), unreadable)
    }

    /// Answers those of whom it is known now; the others are left.
    fn answer(&mut self, waiting: Vec<Done>, end: &SyncEnd) -> Vec<Done> {
        self.lost.add(&end.lost);
        self.tell_lost(&waiting, &end.lost);
        let mut left = Vec::new();
        for done in waiting {
            if self.lost.hold(&done.seqs) {
                done.give_up("what was written cannot be read back");
            } else if done.seqs.end <= end.synced + 1 {
                self.lost.forget_before(done.seqs.start);
                done.settle(true);
            } else {
                left.push(done);
            }
        }
        left
    }

    /// What was acknowledged from memory and is gone must be said; who had published it cannot be told any more.
    fn tell_lost(&self, waiting: &[Done], lost: &[Lost]) {
        if lost.is_empty() {
            return;
        }
        self.shared.read_commits(&self.shared.log.lock());
        let all: u64 = lost.iter().map(|lost| lost.last + 1 - lost.first).sum();
        let unacknowledged: u64 = waiting
            .iter()
            .filter(|done| self.lost.hold(&done.seqs))
            .map(|done| done.seqs.end - done.seqs.start)
            .sum();
        self.shared.losses.lost(all);
        tracing::error!(
            log.lost_entries = all,
            log.lost_acknowledged = all.saturating_sub(unacknowledged),
            "the disk lost entries of the embedded log that it had taken"
        );
    }
}
