//! Writing a closed segment anew without what may go. Runs outside the lock; nothing is replaced before the new file is on disk.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::compaction::Recent;
use crate::files::Files;
use crate::format::entry::{self, EntryHeader, Kind, NO_SLOT, Previous, flag};
use crate::format::footer::{Contents, Place, encode_contents, encode_trailer};
use crate::format::header::{self, SegmentHeader};
use crate::format::{seed, temporary_name};
use crate::index::{Index, Placed};
use crate::io::{read_vec, write_full};
use crate::reading::{Found, Most, ReadPlan, sized};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::{Seq, Slot};

/// Bytes written at once.
const PART: usize = 1 << 20;
/// Bytes read at once where keys are learned.
const LEARNED_AT_ONCE: u64 = 1 << 20;

/// A step of cleaning: [`crate::Log::plan_clean`] makes it, [`crate::Log::end_clean`] takes what came of it.
pub struct CleanPlan<S: Storage>(pub(crate) Step<S>);

pub(crate) enum Step<S: Storage> {
    /// Read the keys of a slot that is compacted from now on.
    Learn {
        slot: Slot,
        plans: Vec<ReadPlan<S>>,
        seq: Seq,
    },
    /// Take a segment away.
    Remove(Arc<Closed>),
    /// Write a segment anew.
    Rewrite(Rewrite<S>),
}

/// What came of a step.
pub struct Cleaned<S: Storage>(pub(crate) Done<S>);

pub(crate) enum Done<S: Storage> {
    Learned {
        slot: Slot,
        records: Vec<Recent>,
        /// Some records could not be read, or are damaged.
        unknown: bool,
    },
    /// Nothing is left of it.
    Empty {
        segment: Arc<Closed>,
        gone: Vec<(Slot, Bytes, i64)>,
    },
    Rewritten {
        old: Arc<Closed>,
        new: Closed,
        file: Arc<S::File>,
        index: Index,
        gone: Vec<(Slot, Bytes, i64)>,
    },
}

pub(crate) struct Rewrite<S: Storage> {
    pub segment: Arc<Closed>,
    pub storage: Arc<S>,
    pub files: Arc<Files<S>>,
    pub salt: u64,
    pub now_ms: i64,
    pub wanted: BTreeMap<Slot, Wanted>,
}

/// What is wanted of a slot.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub low: i64,
    /// For a compacted slot: the newest offset of each key, and whether that may go as well.
    pub newest: Option<HashMap<Bytes, (i64, bool)>>,
}

impl Wanted {
    fn keeps(&self, offset: i64, key: Option<&Bytes>) -> bool {
        if offset < self.low {
            return false;
        }
        let newest = self.newest.as_ref().and_then(|newest| newest.get(key?));
        newest.is_none_or(|(newest, done)| *newest < offset || (*newest == offset && !done))
    }
}

impl<S: Storage> CleanPlan<S> {
    /// Does the step, as far as nothing is replaced.
    ///
    /// # Errors
    /// What the disk said. Nothing has changed then.
    pub fn run(self) -> io::Result<Cleaned<S>> {
        match self.0 {
            Step::Learn { slot, plans, seq } => {
                let (records, unknown) = learn(plans, seq)?;
                Ok(Cleaned(Done::Learned {
                    slot,
                    records,
                    unknown,
                }))
            }
            Step::Remove(segment) => Ok(Cleaned(Done::Empty {
                segment,
                gone: Vec::new(),
            })),
            Step::Rewrite(rewrite) => rewrite.run().map(Cleaned),
        }
    }
}

fn learn<S: Storage>(plans: Vec<ReadPlan<S>>, seq: Seq) -> io::Result<(Vec<Recent>, bool)> {
    let mut records = Vec::new();
    let mut unknown = false;
    for mut plan in plans {
        let end = plan.range.end;
        plan.most = Most {
            records: usize::MAX,
            bytes: LEARNED_AT_ONCE,
        };
        while plan.range.start < end {
            let read = match plan.run() {
                Err(_) => plan.give_up()?,
                Ok(read) => read,
            };
            // What is damaged has no key that could be trusted: it supersedes nothing, and stays.
            unknown |= read.found.iter().any(|found| matches!(found, Found::Damaged(_)));
            records.extend(read.found.into_iter().filter_map(|found| match found {
                Found::Record(record) => Some(Recent {
                    size: (entry::LENGTH + record.meta.len() + record.value.len()) as u32
                        + record.key.as_ref().map_or(0, |key| key.len() as u32),
                    key: record.key.map(|key| Bytes::copy_from_slice(&key)),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    seq,
                    tombstone: record.tombstone,
                }),
                Found::Damaged(_) => None,
            }));
            if read.next <= plan.range.start {
                return Err(io::Error::other(
                    "a segment was replaced while its keys were read",
                ));
            }
            plan.go_on(read.next);
        }
    }
    Ok((records, unknown))
}

/// The new file while it is written.
struct Target<F> {
    file: Arc<F>,
    generation: u16,
    written: u64,
    buffer: Vec<u8>,
    chain: Previous,
    index: Index,
}

impl<S: Storage> Rewrite<S> {
    fn run(self) -> io::Result<Done<S>> {
        let gone_meanwhile = || io::Error::other("the segment to clean is not there any more");
        let index = self.files.index(&self.segment)?.ok_or_else(gone_meanwhile)?;
        let file = self.files.file(&self.segment)?.ok_or_else(gone_meanwhile)?;
        let mut places: Vec<(Slot, i64, Place)> = index.all().collect();
        places.sort_unstable_by_key(|(slot, offset, place)| (place.position, *slot, *offset));
        let name = temporary_name(self.segment.number);
        // Left over from an attempt that failed.
        let _ = self.storage.remove(&name);
        let mut target = self.begin(&*file, &name)?;
        let mut gone = Vec::new();
        let copied = places.iter().try_for_each(|(slot, offset, place)| {
            self.copy(&*file, *slot, *offset, *place, &mut target, &mut gone)
        });
        let done = copied.and_then(|()| {
            if target.index.records() == 0 {
                return Ok(None);
            }
            self.finish(&mut target).map(Some)
        });
        match done {
            Ok(Some(new)) => Ok(Done::Rewritten {
                old: self.segment,
                new,
                file: target.file,
                index: target.index,
                gone,
            }),
            Ok(None) => {
                let _ = self.storage.remove(&name);
                Ok(Done::Empty {
                    segment: self.segment,
                    gone,
                })
            }
            Err(error) => {
                let _ = self.storage.remove(&name);
                Err(error)
            }
        }
    }

    fn begin(&self, old: &S::File, name: &str) -> io::Result<Target<S::File>> {
        let head = SegmentHeader::decode(&read_vec(old, 0, header::LENGTH as usize)?);
        let head = head.unwrap_or(SegmentHeader {
            generation: 0,
            number: self.segment.number,
            first_seq: self.segment.first_seq,
            salt: self.salt,
            created_ms: self.now_ms,
            cut: self.segment.cut,
        });
        // Of a segment whose head could not be read before the generation was not known.
        let generation = head.generation.max(self.segment.generation).saturating_add(1);
        let head = SegmentHeader { generation, ..head };
        Ok(Target {
            file: self.storage.create(name)?,
            generation,
            written: 0,
            buffer: head.encode().to_vec(),
            chain: Previous::NONE,
            index: Index::default(),
        })
    }

    fn copy(
        &self,
        old: &S::File,
        slot: Slot,
        offset: i64,
        place: Place,
        target: &mut Target<S::File>,
        gone: &mut Vec<(Slot, Bytes, i64)>,
    ) -> io::Result<()> {
        let wanted = self.wanted.get(&slot);
        let low = wanted.map_or(0, |wanted| wanted.low);
        let compacted = wanted.is_some_and(|wanted| wanted.newest.is_some());
        if offset < low && !compacted {
            return Ok(());
        }
        let seed = seed(self.salt, self.segment.number);
        let place = sized(old, seed, slot, offset, place)?;
        let bytes = read_vec(old, u64::from(place.position), place.size as usize)?;
        let head = EntryHeader::decode(&bytes, seed).filter(|(head, _)| {
            (head.slot, head.offset, head.kind) == (slot, offset, Kind::Record)
                && head.size() == bytes.len() as u64
        });
        let Some((mut head, _)) = head else {
            if offset >= low {
                // Of what is lost altogether there is nothing for the next entry to name.
                let lost = Previous { slot, offset, crc: 0 };
                let chain = if bytes.is_empty() { target.chain } else { lost };
                target.put(slot, offset, None, &bytes, chain);
            }
            return target.flush(PART);
        };
        let meta = &bytes[entry::LENGTH..entry::LENGTH + head.meta_len as usize];
        let whole = crc32fast::hash(meta) == head.meta_crc;
        let key = (whole && head.has(flag::HAS_KEY))
            .then(|| Bytes::copy_from_slice(&meta[..usize::from(head.key_len)]));
        if wanted.is_some_and(|wanted| !wanted.keeps(offset, key.as_ref())) {
            // One whose value is damaged was not counted when its key was learned.
            let value = &bytes[entry::LENGTH + head.meta_len as usize..];
            let counted = key.filter(|_| crc32fast::hash(value) == head.value_crc);
            gone.extend(counted.map(|key| (slot, key, offset)));
            return Ok(());
        }
        head.previous = target.chain;
        head.flags |= flag::LAST_OF_BATCH;
        let (encoded, crc) = head.encode(seed);
        let mut bytes = bytes;
        bytes[..entry::LENGTH].copy_from_slice(&encoded);
        target.put(
            slot,
            offset,
            Some(head.timestamp),
            &bytes,
            Previous { slot, offset, crc },
        );
        target.flush(PART)
    }

    fn finish(&self, target: &mut Target<S::File>) -> io::Result<Closed> {
        let footer_at = target.length();
        let contents = Contents {
            end_seq: self.segment.end_seq,
            // There is none: those of later segments hold all that it would.
            checkpoint_at: footer_at as u32,
            summaries: target.index.summaries(),
        };
        let meta = encode_contents(&contents);
        let places = target.index.encode(&contents.summaries);
        let head = EntryHeader {
            seq: self.segment.end_seq - 1,
            offset: -1,
            timestamp: self.now_ms,
            synced: 0,
            slot: NO_SLOT,
            kind: Kind::Footer,
            flags: flag::LAST_OF_BATCH,
            key_len: 0,
            meta_len: meta.len() as u32,
            value_len: places.len() as u32,
            meta_crc: crc32fast::hash(&meta),
            value_crc: crc32fast::hash(&places),
            previous: target.chain,
        };
        let (head, _) = head.encode(seed(self.salt, self.segment.number));
        target.buffer.extend_from_slice(&head);
        target.buffer.extend_from_slice(&meta);
        target.buffer.extend_from_slice(&places);
        target
            .buffer
            .extend_from_slice(&encode_trailer(footer_at, meta.len() as u32, self.salt));
        target.flush(0)?;
        target.file.sync()?;
        Ok(Closed {
            number: self.segment.number,
            generation: target.generation,
            first_seq: self.segment.first_seq,
            end_seq: self.segment.end_seq,
            length: target.written,
            footer_at: Some(footer_at),
            cut: self.segment.cut,
            summaries: contents.summaries,
            unindexed: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        })
    }
}

impl<F: StorageFile> Target<F> {
    fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put(&mut self, slot: Slot, offset: i64, timestamp: Option<i64>, bytes: &[u8], chain: Previous) {
        self.index.push(Placed {
            slot,
            offset,
            position: self.length() as u32,
            size: bytes.len() as u32,
            timestamp,
        });
        self.buffer.extend_from_slice(bytes);
        self.chain = chain;
    }

    fn flush(&mut self, above: usize) -> io::Result<()> {
        if self.buffer.len() > above {
            write_full(&*self.file, &self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
