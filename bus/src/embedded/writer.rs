//! Who appends. A publisher's own task does it where nobody else is at it, which saves two switches of threads a hop; else the
//! record waits for the writer's thread, which takes all that has gathered in one write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;

use super::health;
use super::jobs::{Append, Job};
use super::shared::Shared;
use super::syncer::SyncQueue;
use super::turn::Turn;
use crate::BusError;

/// Most bytes and jobs of one write; what is beyond waits for the next.
const WRITE_BYTES: usize = 1 << 20;
const WRITE_JOBS: usize = 1024;
/// More is not written on a publisher's task, which others wait behind.
const BYTES_AT_ONCE: usize = 64 << 10;

/// Takes what is to be appended.
pub(super) struct Appender {
    pub shared: Arc<Shared>,
    /// Nobody's after the end.
    turn: Mutex<Option<Turn>>,
    /// The way to the thread; none where there is none.
    jobs: Option<mpsc::Sender<Job>>,
    /// Appends that were handed to the thread and are not written yet.
    waiting: AtomicUsize,
}

/// The thread for what could not be appended at once.
pub(super) struct Writer {
    appender: Arc<Appender>,
    jobs: mpsc::Receiver<Job>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>, syncer: SyncQueue) -> (Arc<Self>, Writer) {
        let (sender, jobs) = mpsc::channel();
        let appender = Arc::new(Self::handing_to(Some(sender), shared, syncer));
        let writer = Writer {
            appender: Arc::clone(&appender),
            jobs,
        };
        (appender, writer)
    }

    /// Without a thread: everything is appended on the callers' tasks.
    #[cfg(feature = "simulated")]
    pub(super) fn inline(shared: Arc<Shared>, syncer: SyncQueue) -> Arc<Self> {
        Arc::new(Self::handing_to(None, shared, syncer))
    }

    fn handing_to(jobs: Option<mpsc::Sender<Job>>, shared: Arc<Shared>, syncer: SyncQueue) -> Self {
        Self {
            shared,
            turn: Mutex::new(Some(Turn::new(syncer))),
            jobs,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Appends on the caller's task or on the writer's thread; the answer comes by the way that is in `append`.
    pub(super) fn append(&self, append: Append) -> Result<(), BusError> {
        let Some(append) = self.at_once(append) else {
            return Ok(());
        };
        let Some(jobs) = &self.jobs else {
            let mut turn = self.turn.lock();
            let turn = turn.as_mut().ok_or_else(health::closed)?;
            turn.write(&self.shared, vec![append]);
            return Ok(());
        };
        self.waiting.fetch_add(1, Ordering::AcqRel);
        jobs.send(Job::Append(append)).map_err(|_| health::closed())
    }

    /// Appends, if that means waiting for nobody: no other writer, nothing that came before, no new segment, no disk in trouble.
    /// Gives `append` back otherwise.
    fn at_once(&self, append: Append) -> Option<Append> {
        if append.size() > BYTES_AT_ONCE {
            return Some(append);
        }
        let Some(mut turn) = self.turn.try_lock() else {
            return Some(append);
        };
        let (Some(turn), 0) = (turn.as_mut(), self.waiting.load(Ordering::Acquire)) else {
            return Some(append);
        };
        // A lock that is held means a disk that is being read: a mend, say.
        if !self.shared.log.try_lock().is_some_and(|log| log.has_room()) {
            return Some(append);
        }
        turn.write(&self.shared, vec![append]);
        None
    }

    /// Nothing is appended any more, once what was handed to the thread is written, which ends then.
    pub(super) fn stop(&self) {
        match &self.jobs {
            Some(jobs) => {
                let _ = jobs.send(Job::Stop);
            }
            None => *self.turn.lock() = None,
        }
    }
}

impl Writer {
    /// Runs until [`Job::Stop`].
    pub(super) fn run(self) {
        let Appender {
            shared,
            turn,
            waiting,
            ..
        } = &*self.appender;
        while let Ok(job) = self.jobs.recv() {
            let mut turn = turn.lock();
            let (appends, stop) = self.gather(job);
            let taken = appends.len();
            if let Some(turn) = turn.as_mut() {
                turn.write(shared, appends);
            }
            waiting.fetch_sub(taken, Ordering::AcqRel);
            if stop {
                // Nobody appends any more, and the syncer ends with its last queue.
                turn.take();
                return;
            }
        }
    }

    fn gather(&self, first: Job) -> (Vec<Append>, bool) {
        let (mut appends, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Append(append) => {
                    bytes += append.size();
                    appends.push(append);
                }
                Job::Stop => return (appends, true),
            }
            let full = bytes >= WRITE_BYTES || appends.len() >= WRITE_JOBS;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        (appends, false)
    }
}
