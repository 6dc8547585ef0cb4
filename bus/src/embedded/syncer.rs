//! The thread that waits for the disk: one `fdatasync` for all that has gathered, then acknowledges in order.
//!
//! It syncs the journal through a descriptor of its own: the storage engine's own call would hold the journal's lock, and with
//! it every hop that need not be on disk. When the engine starts a new journal it syncs the old one whole, so the newest
//! file is the only one that can hold unsynced records.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::partition::PartitionLog;
use super::power;
use super::shared::Shared;
use crate::{BusError, Position, Record};

/// Written records on their way to being acknowledged.
pub(super) struct Done {
    pub records: Vec<(Arc<PartitionLog>, Record)>,
    pub answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
    pub room: OwnedSemaphorePermit,
    pub on_disk: bool,
}

impl Done {
    /// Shows the records to their readers and answers the publisher.
    pub(super) fn finish(self, was_deferred: bool) {
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
}

/// The writer's end of the syncer.
pub(super) struct Syncer {
    queue: mpsc::Sender<Done>,
    journal: Arc<Mutex<Journal>>,
}

impl Syncer {
    /// A syncer for the database under `path`, and the thread body that drives it.
    pub(super) fn new(
        path: &Path,
        record: bool,
    ) -> io::Result<(Self, impl FnOnce(Arc<Shared>) + Send + 'static)> {
        let (queue, waiting) = mpsc::channel::<Done>();
        let journal = Arc::new(Mutex::new(Journal::newest(path, record)?));
        let same = Arc::clone(&journal);
        let body = move |shared: Arc<Shared>| run(&shared, &waiting, &same);
        Ok((Self { queue, journal }, body))
    }

    pub(super) fn send(&self, done: Done) -> Result<(), ()> {
        self.queue.send(done).map_err(|_| ())
    }

    pub(super) fn sync_now(&self) -> io::Result<()> {
        self.journal.lock().sync()
    }
}

fn run(shared: &Shared, waiting: &mpsc::Receiver<Done>, journal: &Mutex<Journal>) {
    while let Ok(first) = waiting.recv() {
        let mut gathered = vec![first];
        gathered.extend(waiting.try_iter());
        if gathered.iter().any(|done| done.on_disk) {
            let synced = journal.lock().sync();
            if let Err(error) = synced {
                let reason = format!("the journal cannot be synced: {error}");
                for done in gathered {
                    let _ = done.answer.send(Err(BusError::Fatal(reason.clone())));
                }
                shared.fail(reason);
                return;
            }
        }
        for done in gathered {
            done.finish(true);
        }
    }
}

/// The newest journal file.
struct Journal {
    folder: PathBuf,
    number: u64,
    file: File,
    record: bool,
}

impl Journal {
    fn newest(folder: &Path, record: bool) -> io::Result<Self> {
        let number = power::journals(folder)?.last().copied().unwrap_or(0);
        Ok(Self {
            folder: folder.to_owned(),
            number,
            file: File::open(power::journal(folder, number))?,
            record,
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        loop {
            let next = power::journal(&self.folder, self.number + 1);
            if !next.exists() {
                break;
            }
            self.file = File::open(next)?;
            self.number += 1;
        }
        let mark = if self.record {
            power::written(&self.folder, self.number)?
        } else {
            None
        };
        self.file.sync_data()?;
        match mark {
            Some(mark) => power::record(&self.folder, mark),
            None => Ok(()),
        }
    }
}
