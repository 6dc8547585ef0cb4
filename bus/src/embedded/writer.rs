//! The one thread that writes: takes what has gathered, gives offsets, writes one atomic batch, hands the records to their
//! readers. What must be on disk goes on to the syncer, so that the others never wait behind a sync.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use fjall::{OwnedWriteBatch, PersistMode};
use relay_schemas::TimestampMs;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::frame;
use super::keys::{self, Slot};
use super::partition::{PartitionLog, Space};
use super::prepare::{Prepared, PreparedCommit};
use super::retain::Span;
use super::shared::{LOGS, Shared, storage};
use super::summary;
use super::syncer::{Done, Syncer};
use crate::{BusError, Position, Record};

/// Most bytes and jobs of one batch; what is beyond waits for the next.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_JOBS: usize = 1024;
/// Rotate every keyspace after so many bytes, so that none holds the journal.
const ROTATE_ALL_BYTES: u64 = 32 << 20;

/// What the writer is asked to do.
pub(super) enum Job {
    /// Append records, commit offsets.
    Append(Append),
    /// Change small keys.
    Tidy(Tidy, mpsc::Sender<()>),
    /// Finish and end.
    Stop,
}

/// A round of housekeeping, and whom to tell when it is done.
type Tidying = (Tidy, mpsc::Sender<()>);

pub(super) struct Append {
    pub records: Vec<Prepared>,
    pub commits: Vec<PreparedCommit>,
    pub answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
    /// Given back with the answer: how much may be on its way.
    pub room: OwnedSemaphorePermit,
}

/// Housekeeping in `kept`, and closing epochs by age.
#[derive(Default)]
pub(super) struct Tidy {
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    pub removes: Vec<Vec<u8>>,
    pub close_old: bool,
}

/// What is written of one log keyspace since its epoch began.
struct Epoch {
    number: u32,
    bytes: u64,
    since: Instant,
    touched: HashMap<Slot, Arc<PartitionLog>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    syncer: Syncer,
    epochs: [Epoch; LOGS],
    since_rotation: u64,
}

/// An append that is written but not yet acknowledged.
struct Written {
    append: Append,
    offsets: Vec<i64>,
    deferred: bool,
    on_disk: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>, syncer: Syncer) -> Self {
        let epochs = std::array::from_fn(|number| Epoch {
            number: shared.open_epoch(number),
            bytes: 0,
            since: Instant::now(),
            touched: HashMap::new(),
        });
        Self {
            shared,
            jobs,
            syncer,
            epochs,
            since_rotation: 0,
        }
    }

    /// Runs until [`Job::Stop`], or until the storage fails.
    pub(super) fn run(mut self) {
        if let Err(error) = self.mark_before_flush() {
            self.shared.fail(error.to_string());
            return;
        }
        while let Ok(job) = self.jobs.recv() {
            let (appends, tidies, stop) = self.gather(job);
            if let Err(error) = self.write(appends, tidies) {
                self.shared.fail(error.to_string());
                return;
            }
            if stop {
                return;
            }
        }
    }

    fn gather(&self, first: Job) -> (Vec<Append>, Vec<Tidying>, bool) {
        let (mut appends, mut tidies, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Append(append) => {
                    bytes += append
                        .records
                        .iter()
                        .map(|record| record.body.len())
                        .sum::<usize>();
                    appends.push(append);
                }
                Job::Tidy(tidy, done) => tidies.push((tidy, done)),
                Job::Stop => return (appends, tidies, true),
            }
            let full = bytes >= BATCH_BYTES || appends.len() >= BATCH_JOBS;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        (appends, tidies, false)
    }

    fn write(&mut self, appends: Vec<Append>, tidies: Vec<Tidying>) -> Result<(), BusError> {
        let now = relay_clock::Clock::system().now();
        let mut batch = self.shared.db.batch().durability(Some(PersistMode::Buffer));
        let written: Vec<Written> = appends
            .into_iter()
            .map(|append| self.place(&mut batch, append, now))
            .collect();
        self.place_commits(&mut batch, &written);
        for (tidy, _) in &tidies {
            for (key, value) in &tidy.puts {
                batch.insert(&self.shared.kept, key.clone(), value.clone());
            }
            for key in &tidy.removes {
                batch.remove(&self.shared.kept, key.clone());
            }
        }
        if let Err(error) = batch.commit() {
            let reason = storage(&error).to_string();
            for written in written {
                let _ = written.append.answer.send(Err(BusError::Fatal(reason.clone())));
            }
            return Err(storage(&error));
        }
        for written in written {
            self.acknowledge(written, now)?;
        }
        let close_old = tidies.iter().any(|(tidy, _)| tidy.close_old);
        for (_, done) in tidies {
            let _ = done.send(());
        }
        self.close_epochs(close_old)
    }

    /// Gives each record its offset and puts it into the batch.
    fn place(&mut self, batch: &mut OwnedWriteBatch, mut append: Append, now: TimestampMs) -> Written {
        let on_disk = append.records.iter().any(|record| record.on_disk);
        let mut deferred = on_disk;
        let mut offsets = Vec::with_capacity(append.records.len());
        for prepared in &mut append.records {
            let mut body = std::mem::take(&mut prepared.body);
            frame::stamp(&mut body, now);
            let mut state = prepared.log.lock();
            let offset = state.next;
            state.next += 1;
            deferred |= state.unsynced > 0;
            match prepared.log.space {
                Space::Log(number) => {
                    let epoch = &mut self.epochs[usize::from(number)];
                    extend(&mut state.spans, epoch.number, offset, body.len() as u64, now);
                    epoch.bytes += body.len() as u64;
                    self.since_rotation += body.len() as u64;
                    epoch
                        .touched
                        .entry(prepared.log.slot)
                        .or_insert_with(|| Arc::clone(&prepared.log));
                    let key = keys::log(epoch.number, prepared.log.slot, offset);
                    batch.insert(&self.shared.logs[usize::from(number)], key, body);
                }
                Space::Kept => {
                    let replaced = prepared
                        .record
                        .key
                        .clone()
                        .and_then(|key| state.newest.insert(key, offset));
                    state.superseded.extend(replaced.map(|offset| (now.0, offset)));
                    if prepared.record.value.is_none() {
                        state.tombstones.push(offset);
                    }
                    self.since_rotation += body.len() as u64;
                    batch.insert(
                        &self.shared.kept,
                        keys::compacted(prepared.log.slot, offset),
                        body,
                    );
                }
            }
            offsets.push(offset);
        }
        if deferred {
            for prepared in &append.records {
                prepared.log.lock().unsynced += 1;
            }
        }
        Written {
            append,
            offsets,
            deferred,
            on_disk,
        }
    }

    /// Only the last commit of a group in a partition is worth writing.
    fn place_commits(&mut self, batch: &mut OwnedWriteBatch, written: &[Written]) {
        let mut last: HashMap<(&str, Slot), i64> = HashMap::new();
        for commit in written.iter().flat_map(|written| &written.append.commits) {
            last.insert((&commit.group, commit.slot), commit.next);
        }
        if last.is_empty() {
            return;
        }
        let mut committed = self.shared.committed.lock();
        for ((group, slot), next) in last {
            batch.insert(
                &self.shared.kept,
                keys::commit(group, slot),
                next.to_be_bytes().to_vec(),
            );
            self.since_rotation += 64;
            committed.insert((group.to_owned(), slot), next);
        }
    }

    fn acknowledge(&self, written: Written, now: TimestampMs) -> Result<(), BusError> {
        let Append {
            records,
            answer,
            room,
            ..
        } = written.append;
        let records = records
            .into_iter()
            .zip(written.offsets)
            .map(|(prepared, offset)| {
                let record = Record {
                    position: prepared.log.position(offset),
                    timestamp: now,
                    key: prepared.record.key,
                    headers: prepared.record.headers,
                    value: prepared.record.value,
                };
                (prepared.log, record)
            })
            .collect();
        let done = Done {
            records,
            answer,
            room,
            on_disk: written.on_disk,
        };
        if written.deferred {
            self.syncer.send(done).map_err(|()| self.shared.why_failed())
        } else {
            done.finish(false);
            Ok(())
        }
    }

    /// Closes the epochs that are full (or old), together with their memtables.
    fn close_epochs(&mut self, close_old: bool) -> Result<(), BusError> {
        let all = self.since_rotation >= ROTATE_ALL_BYTES;
        let age = self.shared.options.epoch_age;
        let mut closed = false;
        for number in 0..LOGS {
            let epoch = &self.epochs[number];
            let old = close_old && epoch.since.elapsed() >= age;
            let full = epoch.bytes >= self.shared.options.epoch_size.as_u64();
            if epoch.bytes > 0 && (full || old || all) {
                self.close_epoch(number)?;
                closed = true;
            }
        }
        if all || (closed && close_old) {
            self.mark_before_flush()?;
            self.shared
                .kept
                .rotate_memtable()
                .map_err(|error| storage(&error))?;
            self.since_rotation = 0;
        }
        Ok(())
    }

    fn close_epoch(&mut self, number: usize) -> Result<(), BusError> {
        let epoch = &mut self.epochs[number];
        let summary = summary::encode(epoch.touched.values(), epoch.number);
        let mut batch = self.shared.db.batch().durability(Some(PersistMode::Buffer));
        batch.insert(
            &self.shared.kept,
            keys::epoch(number as u8, epoch.number),
            summary,
        );
        batch.commit().map_err(|error| storage(&error))?;
        epoch.number += 1;
        epoch.bytes = 0;
        epoch.since = Instant::now();
        epoch.touched.clear();
        let next = epoch.number;
        self.mark_before_flush()?;
        self.shared.logs[number]
            .rotate_memtable()
            .map_err(|error| storage(&error))?;
        self.shared.epochs[number].store(next, Ordering::Release);
        Ok(())
    }

    /// The storage engine syncs the journal when it opens and before it writes a table; with `record_syncs` that must be on
    /// record before a table exists, else a test would cut the journal below it.
    fn mark_before_flush(&self) -> Result<(), BusError> {
        if self.shared.options.record_syncs {
            self.syncer
                .sync_now()
                .map_err(|error| BusError::Fatal(error.to_string()))?;
        }
        Ok(())
    }
}

fn extend(
    spans: &mut std::collections::VecDeque<Span>,
    epoch: u32,
    offset: i64,
    bytes: u64,
    now: TimestampMs,
) {
    match spans.back_mut() {
        Some(span) if span.epoch == epoch => {
            span.end = offset + 1;
            span.bytes += bytes;
            span.newest_ms = now.0;
        }
        _ => spans.push_back(Span {
            epoch,
            first: offset,
            end: offset + 1,
            bytes,
            newest_ms: now.0,
        }),
    }
}
