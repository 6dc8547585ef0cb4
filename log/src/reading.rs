//! Reading records from a segment: neighbours with one read, each verified, a damaged one in its place.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::Slot;
use crate::files::Files;
use crate::format::entry::{self, EntryHeader, Kind, flag};
use crate::format::footer::Place;
use crate::index::SlotIndex;
use crate::io::read_vec;
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};

/// Bytes of other slots that are read over rather than read around: a record keeps what was read with it in memory.
const READ_OVER: u64 = 2 << 10;
/// Most bytes of one read, except for a record that is larger.
const MOST_AT_ONCE: u64 = 1 << 20;

/// A record as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// When it was appended, milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// What surrounds the value.
    pub meta: Bytes,
    /// The value.
    pub value: Bytes,
    /// Whether it removes its key.
    pub tombstone: bool,
}

/// A record that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its slot.
    pub slot: Slot,
    /// Its offset.
    pub offset: i64,
    /// The segment that it is in.
    pub segment: u64,
    /// Its first byte there.
    pub position: u64,
    /// Key and meta, where these are whole.
    pub meta: Option<(Option<Bytes>, Bytes)>,
    /// The value, where that is whole.
    pub value: Option<Bytes>,
    /// Its bytes as they are, head included; empty where not even its length is known.
    pub raw: Bytes,
}

/// Which parts of a damaged record are whole.
#[derive(Default)]
struct Left {
    meta: Option<(Option<Bytes>, Bytes)>,
    value: Option<Bytes>,
}

/// What is found at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The record.
    Record(Record),
    /// What is left of it.
    Damaged(Damaged),
}

/// What a plan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// In the order of their offsets; some may be missing, where compaction took them.
    pub found: Vec<Found>,
    /// Where to go on.
    pub next: i64,
}

/// Bounds of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub records: usize,
    pub bytes: u64,
}

/// Where records are to be read.
pub struct ReadPlan<S: Storage> {
    pub(crate) slot: Slot,
    pub(crate) range: Range<i64>,
    pub(crate) most: Most,
    pub(crate) seed: u32,
    pub(crate) source: Source<S>,
}

pub(crate) enum Source<S: Storage> {
    Nothing,
    Open {
        number: u64,
        file: Arc<S::File>,
        chosen: Vec<(i64, Place)>,
        next: i64,
    },
    Closed {
        segment: Arc<Closed>,
        files: Arc<Files<S>>,
    },
}

/// The records of `range` that fit, and where to go on behind them: at `end`, if all do.
pub(crate) fn choose(
    index: &SlotIndex,
    range: &Range<i64>,
    most: Most,
    end: i64,
) -> (Vec<(i64, Place)>, i64) {
    let places = index.from(range.start).iter();
    let mut places = places
        .map(|place| (index.summary.first + i64::from(place.delta), *place))
        .take_while(|(offset, _)| *offset < range.end)
        .peekable();
    let mut room = Room::new(most);
    let mut chosen = Vec::new();
    while let Some(fits) = places.next_if(|(_, place)| room.takes(place)) {
        chosen.push(fits);
    }
    let next = places.next().map_or(range.end.min(end), |(offset, _)| offset);
    (chosen, next)
}

/// A place as long as its head says, where the head was lost when the segment was gone through: one bit mends it, or the disk
/// gives it back again.
pub(crate) fn sized<F: StorageFile>(
    file: &F,
    seed: u32,
    slot: Slot,
    offset: i64,
    place: Place,
) -> io::Result<Place> {
    if place.size > 0 {
        return Ok(place);
    }
    let bytes = read_vec(file, u64::from(place.position), entry::LENGTH)?;
    let whole = EntryHeader::decode(&bytes, seed).map(|(head, _)| head);
    let head = whole.or_else(|| EntryHeader::mended(&bytes, seed));
    let size = head
        .filter(|head| is_of(head, slot, offset))
        .map(|head| head.size());
    Ok(Place {
        size: size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0),
        ..place
    })
}

fn is_of(head: &EntryHeader, slot: Slot, offset: i64) -> bool {
    head.kind == Kind::Record && (head.slot, head.offset) == (slot, offset)
}

/// What is left of the bounds of a read; one record fits in any case.
struct Room {
    most: Most,
    records: usize,
    bytes: u64,
}

impl Room {
    fn new(most: Most) -> Self {
        Self {
            most,
            records: 0,
            bytes: 0,
        }
    }

    fn takes(&mut self, place: &Place) -> bool {
        self.bytes += u64::from(place.size);
        let fits = self.records == 0 || self.bytes <= self.most.bytes && self.records < self.most.records;
        self.records += 1;
        fits
    }
}

impl<S: Storage> ReadPlan<S> {
    /// The same plan from `offset` on.
    pub(crate) fn go_on(&mut self, offset: i64) {
        self.range.start = offset;
        if let Source::Open { chosen, .. } = &mut self.source {
            chosen.retain(|(other, _)| *other >= offset);
        }
    }

    /// Reads. Where a segment was cleaned meanwhile nothing is found and `next` is where it began: plan again.
    ///
    /// # Errors
    /// What the disk said, where not even the first record could be read; see [`ReadPlan::give_up`].
    pub fn run(&self) -> io::Result<Read> {
        let again = Read {
            found: Vec::new(),
            next: self.range.start,
        };
        match &self.source {
            Source::Nothing => Ok(Read {
                next: self.range.start.max(self.range.end),
                ..again
            }),
            Source::Open {
                number,
                file,
                chosen,
                next,
            } => {
                let mut room = Room::new(self.most);
                let fitting = chosen.iter().take_while(|(_, place)| room.takes(place)).count();
                let next = chosen.get(fitting).map_or(*next, |(offset, _)| *offset);
                self.read(*number, &**file, &chosen[..fitting], next)
            }
            Source::Closed { segment, files } => {
                let (Some(index), Some(file)) = (files.index(segment)?, files.file(segment)?) else {
                    return Ok(again);
                };
                let (chosen, mut next) = match index.slot(self.slot) {
                    Some(index) => choose(index, &self.range, self.most, index.summary.end),
                    None => (Vec::new(), self.range.start),
                };
                if chosen.is_empty() {
                    // The summary knows of more than can be found.
                    let end = segment
                        .summary(self.slot)
                        .map_or(self.range.end, |summary| summary.end);
                    next = end.clamp(self.range.start, self.range.end);
                }
                self.read(segment.number, &*file, &chosen, next)
            }
        }
    }

    /// The first record as one that is damaged, for who has asked the disk for it often enough.
    ///
    /// # Errors
    /// What the disk said, where not even the segment's index could be read.
    pub fn give_up(&self) -> io::Result<Read> {
        let (segment, chosen, next) = match &self.source {
            Source::Nothing => return self.run(),
            Source::Open {
                number, chosen, next, ..
            } => (*number, chosen.clone(), *next),
            Source::Closed { segment, files } => {
                let index = files.index_around(segment)?;
                let index = index.as_ref().and_then(|index| index.slot(self.slot));
                let Some(index) = index else {
                    return self.run();
                };
                let (chosen, next) = choose(index, &self.range, self.most, index.summary.end);
                (segment.number, chosen, next)
            }
        };
        let found = chosen
            .first()
            .map(|(offset, place)| self.damaged(segment, *offset, *place, Left::default(), &Bytes::new()));
        Ok(Read {
            found: found.into_iter().collect(),
            // At least that one is given up.
            next: first_after(&chosen, next).max(self.range.start + 1),
        })
    }

    fn read(&self, segment: u64, file: &S::File, chosen: &[(i64, Place)], next: i64) -> io::Result<Read> {
        let (places, mut next) = (chosen, next);
        let mut chosen = Vec::with_capacity(places.len());
        for (offset, place) in places {
            match sized(file, self.seed, self.slot, *offset, *place) {
                Ok(place) => chosen.push((*offset, place)),
                Err(error) if chosen.is_empty() => return Err(error),
                Err(_) => {
                    next = *offset;
                    break;
                }
            }
        }
        let mut found = Vec::with_capacity(chosen.len());
        let mut rest = &chosen[..];
        while let Some((offset, first)) = rest.first() {
            let (group, behind) = rest.split_at(together(rest));
            let (_, last) = group.last().expect("it begins with `first`");
            let length = last.position + last.size - first.position;
            match read_vec(file, u64::from(first.position), length as usize) {
                Ok(bytes) => {
                    let bytes = Bytes::from(bytes);
                    let from = first.position;
                    found.extend(group.iter().map(|(offset, place)| {
                        let start = ((place.position - from) as usize).min(bytes.len());
                        let end = (start + place.size as usize).min(bytes.len());
                        self.check(segment, *offset, *place, &bytes.slice(start..end))
                    }));
                    rest = behind;
                }
                Err(error) if found.is_empty() && group.len() == 1 => return Err(error),
                // What could be read is worth having; the next plan begins with what could not.
                Err(_) if !found.is_empty() => {
                    return Ok(Read { found, next: *offset });
                }
                Err(_) => return self.read(segment, file, &chosen[..1], first_after(&chosen, next)),
            }
        }
        Ok(Read { found, next })
    }

    fn check(&self, segment: u64, offset: i64, place: Place, raw: &Bytes) -> Found {
        let fits = |head: &EntryHeader| is_of(head, self.slot, offset) && head.size() == raw.len() as u64;
        let whole = EntryHeader::decode(raw, self.seed)
            .map(|(head, _)| head)
            .filter(fits);
        let Some(head) = whole.or_else(|| EntryHeader::mended(raw, self.seed).filter(fits)) else {
            return self.damaged(segment, offset, place, Left::default(), raw);
        };
        let value_at = entry::LENGTH + head.meta_len as usize;
        let key_end = entry::LENGTH + usize::from(head.key_len);
        let meta_whole = crc32fast::hash(&raw[entry::LENGTH..value_at]) == head.meta_crc;
        let key = || head.has(flag::HAS_KEY).then(|| raw.slice(entry::LENGTH..key_end));
        let meta = meta_whole.then(|| (key(), raw.slice(key_end..value_at)));
        let value = Some(raw.slice(value_at..)).filter(|value| crc32fast::hash(value) == head.value_crc);
        match (whole, meta, value) {
            (Some(_), Some((key, meta)), Some(value)) => Found::Record(Record {
                offset,
                timestamp: head.timestamp,
                key,
                meta,
                value,
                tombstone: head.has(flag::TOMBSTONE),
            }),
            (_, meta, value) => self.damaged(segment, offset, place, Left { meta, value }, raw),
        }
    }

    fn damaged(&self, segment: u64, offset: i64, place: Place, left: Left, raw: &Bytes) -> Found {
        Found::Damaged(Damaged {
            slot: self.slot,
            offset,
            segment,
            position: u64::from(place.position),
            meta: left.meta,
            value: left.value,
            raw: raw.clone(),
        })
    }
}

fn first_after(chosen: &[(i64, Place)], next: i64) -> i64 {
    chosen.get(1).map_or(next, |(offset, _)| *offset)
}

/// How many of the first places are read at once.
fn together(places: &[(i64, Place)]) -> usize {
    let start = u64::from(places[0].1.position);
    let mut end = start + u64::from(places[0].1.size);
    let mut count = 1;
    for (_, place) in &places[1..] {
        let position = u64::from(place.position);
        let near = position >= end && position <= end + READ_OVER;
        if !near || position + u64::from(place.size) - start > MOST_AT_ONCE {
            break;
        }
        end = position + u64::from(place.size);
        count += 1;
    }
    count
}
