//! Goes through the tail of the log: what was on disk and is not whole is damaged, and what follows it counts; what need not
//! have been on disk and is not whole was torn by a loss of power, and is cut off with all that follows.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::list::Listed;
use crate::error::OpenError;
use crate::format::bytes::take_varint;
use crate::format::checkpoint::{self, Checkpoint};
use crate::format::entry::{Kind, NO_SLOT, Previous, flag};
use crate::format::footer::{Summary, TRAILER, decode_trailer};
use crate::format::header::LENGTH as FRONT;
use crate::format::{seed, segment_name};
use crate::index::Index;
use crate::io::read_vec;
use crate::locate::Locator;
use crate::log::{Active, Boundary, NoteBook};
use crate::opened::{Damage, Opened};
use crate::scan::{Entry, Item, Scanner};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::{Seq, Slot};

/// What there is, as the tail says.
pub(crate) struct Tail<F> {
    pub closed: Vec<Closed>,
    pub active: Option<Active<F>>,
    pub next: HashMap<Slot, i64>,
    pub notes: NoteBook,
    pub next_seq: Seq,
    pub proven: Seq,
    /// Where what is not proven begins, if there is any that must not be lost.
    pub boundary: Option<Boundary>,
    pub unproven: bool,
    pub marked: bool,
}

impl<F> Default for Tail<F> {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            active: None,
            next: HashMap::new(),
            notes: NoteBook::default(),
            next_seq: 1,
            proven: 0,
            boundary: None,
            unproven: false,
            marked: false,
        }
    }
}

/// Where the torn end begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Torn {
    pub segment: u64,
    pub at: u64,
    pub bytes: u64,
    /// Nothing of the segment is left.
    pub whole: bool,
}

/// What came of going through the tail.
pub(crate) struct Replay<F> {
    /// The first segment that was gone through.
    pub first: usize,
    pub tail: Tail<F>,
    pub opened: Opened,
    pub torn: Option<Torn>,
    /// Made and never written to.
    pub empty: Vec<u64>,
}

/// Notes and offsets so far.
#[derive(Default)]
struct State {
    notes: NoteBook,
    next: HashMap<Slot, i64>,
    /// Whether a checkpoint was read.
    known: bool,
    /// Lost since the last checkpoint, and not named by anything.
    nameless: u64,
    /// The end of the last entry that is proven.
    boundary: Option<Boundary>,
    /// Records or notes come after it.
    unproven: bool,
    marked: bool,
    /// The segments that should be there, as far as is known.
    segments: BTreeSet<u64>,
    /// Offsets that only a checkpoint knows of.
    jumps: Vec<(Slot, Range<i64>)>,
}

/// Whether a checkpoint is the first entry of its segment.
type Opening = bool;

/// What an entry of the batch being read will do.
enum Change {
    Record(Slot, i64),
    Note(Bytes, Option<Bytes>),
    Checkpoint(Checkpoint, Opening),
    /// The segments with these numbers were taken away.
    Removed(Vec<u64>),
    /// Named by what follows it.
    Lost(Slot, i64),
}

/// One segment while it is gone through.
struct Walk<'a, F: StorageFile> {
    listed: &'a Listed,
    file: Arc<F>,
    salt: u64,
    proven: Seq,
    first_seq: Seq,
    locator: Locator,
    pending: Vec<(Seq, Change)>,
    /// Everything before counts.
    good: Good,
    footer_at: Option<u64>,
    damaged: Vec<Damage>,
    named_at_checkpoint: u64,
}

/// The end of the last whole batch.
#[derive(Clone, Copy)]
struct Good {
    position: u64,
    next_seq: Seq,
    chain: Previous,
}

/// Goes through `segments` from `first` on, or from an earlier one if nothing else says what the notes were.
pub(crate) fn replay<S: Storage>(
    storage: &S,
    segments: &[Listed],
    mut first: usize,
    proven: Seq,
    salt: u64,
) -> Result<Replay<S::File>, OpenError> {
    let mut state = State::default();
    while !state.known && first > 0 {
        if let Some(checkpoint) = closing_checkpoint(storage, &segments[first - 1], salt)? {
            state.begin(checkpoint);
        } else if opens_whole(storage, &segments[first], salt)? {
            break;
        } else {
            first -= 1;
        }
    }
    let before = first.checked_sub(1).and_then(|at| segments[at].sealed.as_ref());
    let mut expected = before.map(|sealed| sealed.contents.end_seq);
    let mut replay = Replay {
        first,
        tail: Tail {
            proven,
            ..Tail::default()
        },
        opened: Opened::default(),
        torn: None,
        empty: Vec::new(),
    };
    let mut unnamed = None;
    for (at, listed) in segments.iter().enumerate().skip(first) {
        let following = segments.get(at + 1);
        let next_first = following.and_then(|next| Some(next.header?.first_seq));
        let first_seq = listed
            .header
            .map(|header| header.first_seq)
            .or(expected)
            .unwrap_or(1);
        if next_first == Some(first_seq) {
            replay.empty.push(listed.number);
            continue;
        }
        if expected.is_some_and(|expected| first_seq > expected && expected >= proven) {
            let bytes = segments[at..].iter().map(|listed| listed.length).sum();
            replay.torn = Some(Torn {
                segment: listed.number,
                at: 0,
                bytes,
                whole: true,
            });
            break;
        }
        let name = segment_name(listed.number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        let mut walk = Walk::new(listed, file, salt, proven, first_seq);
        let whole = walk
            .go(&mut state, next_first)
            .map_err(OpenError::io(format!("reading {name}")))?;
        let jumped: i64 = state.jumps.iter().map(|(_, lost)| lost.end - lost.start).sum();
        if let Some((at, nameless)) = unnamed.take()
            && jumped as u64 <= nameless
        {
            name_lost(&mut replay.tail.closed[at], &state.jumps);
        }
        state.jumps.clear();
        replay.opened.scanned += listed.length;
        replay.opened.damaged.append(&mut walk.damaged);
        expected = Some(walk.good.next_seq);
        let torn =
            !whole || (following.is_none() && walk.footer_at.is_none() && walk.good.position < listed.length);
        if torn {
            let later: u64 = segments[at + 1..].iter().map(|listed| listed.length).sum();
            replay.torn = Some(Torn {
                segment: listed.number,
                at: walk.good.position,
                bytes: listed.length - walk.good.position + later,
                whole: walk.good.position == FRONT,
            });
        }
        let last = torn || following.is_none();
        let nameless = walk.locator.nameless;
        unnamed = (!last && nameless > 0).then_some((replay.tail.closed.len(), nameless));
        walk.end(&mut state, &mut replay.tail, last);
        if torn {
            break;
        }
    }
    replay.opened.notes_lost = !state.known;
    for number in state.segments {
        if segments
            .binary_search_by_key(&number, |listed| listed.number)
            .is_err()
        {
            replay.opened.damaged.push(Damage {
                segment: number,
                position: 0,
                slot: None,
                offset: None,
                what: "the segment is missing".to_owned(),
            });
        }
    }
    for next in state.next.values_mut() {
        *next += state.nameless as i64;
    }
    replay.tail.next = state.next;
    replay.tail.notes = state.notes;
    replay.tail.boundary = state.boundary.or_else(|| {
        let listed = segments.get(first.saturating_sub(1))?;
        Some(Boundary {
            number: listed.number,
            position: if first > 0 { listed.length } else { FRONT },
        })
    });
    replay.tail.unproven = state.unproven;
    replay.tail.marked = state.marked;
    replay.tail.next_seq = expected.unwrap_or(1);
    // What said more is cut off with the rest.
    replay.tail.proven = proven.min(replay.tail.next_seq);
    Ok(replay)
}

impl State {
    fn begin(&mut self, checkpoint: Checkpoint) {
        if self.notes.notes != checkpoint.notes {
            self.notes = NoteBook {
                notes: checkpoint.notes,
                ..NoteBook::default()
            };
        }
        for (slot, next) in checkpoint.next {
            let held = self.next.get(&slot).copied().unwrap_or(0);
            if held < next && self.known {
                self.jumps.push((slot, held..next));
            }
            self.reach(slot, next);
        }
        self.segments = checkpoint.segments.into_iter().collect();
        self.known = true;
        self.nameless = 0;
    }

    fn reach(&mut self, slot: Slot, next: i64) {
        let held = self.next.entry(slot).or_default();
        *held = next.max(*held);
    }

    fn apply(&mut self, seq: Seq, change: Change) {
        match change {
            Change::Record(slot, offset) | Change::Lost(slot, offset) => self.reach(slot, offset + 1),
            Change::Note(name, value) => self.notes.change(seq, &name, value.as_ref()),
            Change::Checkpoint(checkpoint, opening) => {
                let jumps = std::mem::take(&mut self.jumps);
                self.begin(checkpoint);
                if !opening {
                    self.jumps = jumps;
                }
            }
            Change::Removed(numbers) => {
                for number in numbers {
                    self.segments.remove(&number);
                }
            }
        }
    }
}

impl<'a, F: StorageFile> Walk<'a, F> {
    fn new(listed: &'a Listed, file: Arc<F>, salt: u64, proven: Seq, first_seq: Seq) -> Self {
        Self {
            listed,
            file,
            salt,
            proven,
            first_seq,
            locator: Locator::new(first_seq, listed.generation() > 0),
            pending: Vec::new(),
            good: Good {
                position: FRONT,
                next_seq: first_seq,
                chain: Previous::NONE,
            },
            footer_at: None,
            damaged: Vec::new(),
            named_at_checkpoint: 0,
        }
    }

    /// Goes to the end; false where the segment is torn behind [`Walk::good`].
    fn go(&mut self, state: &mut State, next_first: Option<Seq>) -> std::io::Result<bool> {
        let file = Arc::clone(&self.file);
        let seed = seed(self.salt, self.listed.number);
        let mut scanner = Scanner::new(&*file, seed, FRONT, self.listed.length);
        let mut lost: Option<u64> = None;
        while let Some(item) = scanner.next()? {
            let entry = match item {
                Item::Lost { from, .. } => {
                    lost = Some(from);
                    self.locator.lost(from);
                    continue;
                }
                Item::Entry(entry) => entry,
            };
            if let Some(from) = lost.take() {
                if !self.passes_lost(from, &entry) {
                    return Ok(false);
                }
                if entry.header.seq <= self.proven {
                    state.boundary = Some(self.boundary(entry.position));
                }
            }
            if !entry.is_whole() && !self.passes_damaged(&entry) {
                return Ok(false);
            }
            let next = &state.next;
            self.locator.entry(&entry, |slot| next.get(&slot).copied());
            let change = self.change(&scanner, &entry)?;
            let seq = entry.header.seq;
            self.pending.extend(change.map(|change| (seq, change)));
            let is_footer = entry.header.kind == Kind::Footer;
            if is_footer && !self.ends_well(&entry)? {
                return Ok(false);
            }
            // What was on disk was a whole number of batches.
            if entry.header.has(flag::LAST_OF_BATCH) || seq < self.proven {
                self.commit(state, &entry);
            }
            if is_footer {
                self.footer_at = Some(entry.position);
                return Ok(true);
            }
        }
        if let Some(from) = lost {
            let expected = self.locator.expected.max(self.first_seq);
            if expected >= self.proven {
                return Ok(false);
            }
            let end = next_first.unwrap_or(self.proven);
            self.locator.nameless += end.saturating_sub(expected);
            self.locator.expected = end;
            self.damage(
                from,
                None,
                None,
                "nothing is readable from here to the segment's end",
            );
            self.good.position = self.listed.length;
            self.good.next_seq = end;
            if end <= self.proven {
                state.boundary = Some(self.boundary(self.listed.length));
            }
        }
        Ok(self.pending.is_empty() || next_first.is_none() && self.good.next_seq >= self.proven)
    }

    /// Whether what was lost before `entry` had been on disk; else it is torn.
    fn passes_lost(&mut self, from: u64, entry: &Entry) -> bool {
        let expected = self.locator.expected;
        let opening = expected < self.first_seq;
        let lost_checkpoint_only = opening && entry.header.seq == self.first_seq;
        if !lost_checkpoint_only && expected.max(self.first_seq) >= self.proven {
            return false;
        }
        let previous = entry.header.previous;
        let record = previous.slot != NO_SLOT;
        let what = format!(
            "the head of {} is lost",
            count(entry.header.seq.saturating_sub(expected))
        );
        self.damage(
            from,
            record.then_some(previous.slot),
            record.then_some(previous.offset),
            &what,
        );
        if record {
            let lost = Change::Lost(previous.slot, previous.offset);
            self.pending.push((entry.header.seq - 1, lost));
        }
        true
    }

    /// Whether an entry that is not whole had been on disk; else it is torn.
    fn passes_damaged(&mut self, entry: &Entry) -> bool {
        let header = &entry.header;
        let opening = header.kind == Kind::Checkpoint && header.seq < self.first_seq;
        if !opening && header.seq >= self.proven {
            return false;
        }
        let record = header.kind == Kind::Record;
        let part = if entry.meta_whole { "value" } else { "key or meta" };
        let what = format!("the {part} of this {} is damaged", word(header.kind));
        self.damage(
            entry.position,
            record.then_some(header.slot),
            record.then_some(header.offset),
            &what,
        );
        true
    }

    fn change(&self, scanner: &Scanner<'_, F>, entry: &Entry) -> std::io::Result<Option<Change>> {
        let header = &entry.header;
        Ok(match header.kind {
            Kind::Record => Some(Change::Record(header.slot, header.offset)),
            Kind::Note if entry.is_whole() => {
                let name = Bytes::from(scanner.meta(entry)?);
                let removed = header.has(flag::TOMBSTONE);
                let value = if removed {
                    None
                } else {
                    Some(scanner.value(entry)?.into())
                };
                Some(Change::Note(name, value))
            }
            Kind::Checkpoint if entry.is_whole() => {
                let opening = header.seq < self.first_seq;
                let checkpoint = checkpoint::decode(&scanner.value(entry)?);
                checkpoint.map(|checkpoint| Change::Checkpoint(checkpoint, opening))
            }
            Kind::Mark if entry.header.value_len > 0 => {
                let value = scanner.value(entry)?;
                let mut value = value.as_slice();
                Some(Change::Removed(
                    std::iter::from_fn(|| take_varint(&mut value)).collect(),
                ))
            }
            _ => None,
        })
    }

    /// Whether the last bytes of the file are there; if they are not, and need not be, the closing is torn.
    fn ends_well(&mut self, entry: &Entry) -> std::io::Result<bool> {
        let trailer = read_vec(&*self.file, entry.end(), TRAILER)?;
        let whole = trailer.first_chunk().and_then(decode_trailer).is_some();
        if !whole && entry.header.seq < self.proven {
            self.damage(entry.end(), None, None, "the segment's last bytes are damaged");
            return Ok(true);
        }
        Ok(whole)
    }

    fn commit(&mut self, state: &mut State, entry: &Entry) {
        for (seq, change) in self.pending.drain(..) {
            if matches!(change, Change::Checkpoint(..)) {
                self.named_at_checkpoint = self.locator.nameless;
            }
            state.unproven |= seq >= self.proven && matches!(change, Change::Record(..) | Change::Note(..));
            state.apply(seq, change);
        }
        state.notes.settle(self.proven);
        state.marked = entry.header.kind == Kind::Mark;
        if entry.header.seq < self.proven {
            state.boundary = Some(self.boundary(entry.end()));
        }
        self.good = Good {
            position: entry.end(),
            next_seq: (entry.header.seq + 1).max(self.first_seq),
            chain: Previous {
                slot: entry.header.slot,
                offset: entry.header.offset,
                crc: entry.crc,
            },
        };
    }

    fn boundary(&self, position: u64) -> Boundary {
        Boundary {
            number: self.listed.number,
            position,
        }
    }

    fn damage(&mut self, position: u64, slot: Option<Slot>, offset: Option<i64>, what: &str) {
        self.damaged.push(Damage {
            segment: self.listed.number,
            position,
            slot,
            offset,
            what: what.to_owned(),
        });
    }

    /// Hands over what the segment holds; the last one is written on, unless it is closed or its head is damaged.
    fn end(self, state: &mut State, tail: &mut Tail<F>, last: bool) {
        state.nameless += self.locator.nameless.saturating_sub(self.named_at_checkpoint);
        if last && self.good.position == FRONT {
            return;
        }
        let Good {
            position,
            next_seq,
            chain,
        } = self.good;
        let index = if position < self.listed.length && self.footer_at.is_none() {
            self.locator.index.before(position)
        } else {
            self.locator.index
        };
        match self.listed.header {
            Some(header) if last && self.footer_at.is_none() => {
                tail.active = Some(Active {
                    number: self.listed.number,
                    file: self.file,
                    first_seq: self.first_seq,
                    created_ms: header.created_ms,
                    cut: header.cut,
                    length: position,
                    seed: seed(self.salt, self.listed.number),
                    chain,
                    index,
                });
            }
            _ => tail.closed.push(closed(
                self.listed,
                self.first_seq,
                next_seq,
                position,
                self.footer_at,
                &index,
            )),
        }
    }
}

/// Names what is lost at the end of a segment without a footer: the checkpoints at its front and at that of the next one say
/// which offsets were given in between.
pub(super) fn name_from_checkpoints<S: Storage>(
    storage: &S,
    segment: &mut Closed,
    listed: &Listed,
    following: &Listed,
    nameless: u64,
    salt: u64,
) -> Result<(), OpenError> {
    let own = first_checkpoint(storage, listed, FRONT, salt)?;
    let next = first_checkpoint(storage, following, FRONT, salt)?;
    let (Some(own), Some(next)) = (own, next) else {
        return Ok(());
    };
    let own: HashMap<Slot, i64> = own.next.into_iter().collect();
    let jumps: Vec<_> = next
        .next
        .into_iter()
        .map(|(slot, next)| {
            let held = segment.summary(slot).map_or(0, |summary| summary.end);
            (slot, held.max(own.get(&slot).copied().unwrap_or(0))..next)
        })
        .filter(|(_, lost)| !lost.is_empty())
        .collect();
    let jumped: i64 = jumps.iter().map(|(_, lost)| lost.end - lost.start).sum();
    if jumped as u64 <= nameless {
        name_lost(segment, &jumps);
    }
    Ok(())
}

/// What the next checkpoint knows of and nothing else does was at the end of `segment`, where nothing is readable.
fn name_lost(segment: &mut Closed, jumps: &[(Slot, Range<i64>)]) {
    for (slot, lost) in jumps {
        let at = segment
            .summaries
            .binary_search_by_key(slot, |summary| summary.slot);
        let at = at.unwrap_or_else(|at| {
            let empty = Summary {
                slot: *slot,
                first: lost.start,
                end: lost.start,
                count: 0,
                bytes: 0,
                oldest_ms: 0,
                newest_ms: 0,
            };
            segment.summaries.insert(at, empty);
            at
        });
        let summary = &mut segment.summaries[at];
        summary.count += (lost.end - summary.end).max(0) as u32;
        summary.end = summary.end.max(lost.end);
    }
}

fn closed(
    listed: &Listed,
    first_seq: Seq,
    end_seq: Seq,
    position: u64,
    footer_at: Option<u64>,
    index: &Index,
) -> Closed {
    Closed {
        number: listed.number,
        generation: listed.generation(),
        first_seq,
        end_seq,
        length: if footer_at.is_some() {
            listed.length
        } else {
            position
        },
        footer_at,
        cut: listed.header.and_then(|header| header.cut),
        summaries: index.summaries(),
        replaced: AtomicBool::new(false),
    }
}

fn closing_checkpoint<S: Storage>(
    storage: &S,
    listed: &Listed,
    salt: u64,
) -> Result<Option<Checkpoint>, OpenError> {
    let Some(sealed) = &listed.sealed else {
        return Ok(None);
    };
    let at = u64::from(sealed.contents.checkpoint_at);
    first_checkpoint(storage, listed, at, salt)
}

fn opens_whole<S: Storage>(storage: &S, listed: &Listed, salt: u64) -> Result<bool, OpenError> {
    first_checkpoint(storage, listed, FRONT, salt).map(|found| found.is_some())
}

/// The checkpoint at `at`, if it is whole.
fn first_checkpoint<S: Storage>(
    storage: &S,
    listed: &Listed,
    at: u64,
    salt: u64,
) -> Result<Option<Checkpoint>, OpenError> {
    let name = segment_name(listed.number);
    let read = storage.open(&name).and_then(|file| {
        let mut scanner = Scanner::new(&*file, seed(salt, listed.number), at, listed.length);
        match scanner.next()? {
            Some(Item::Entry(entry)) if entry.header.kind == Kind::Checkpoint && entry.is_whole() => {
                Ok(checkpoint::decode(&scanner.value(&entry)?))
            }
            _ => Ok(None),
        }
    });
    read.map_err(OpenError::io(format!("reading {name}")))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Record => "record",
        Kind::Note => "note",
        Kind::Checkpoint => "checkpoint",
        Kind::Mark => "mark",
        Kind::Footer => "index",
    }
}

fn count(entries: u64) -> String {
    if entries == 1 {
        "an entry".to_owned()
    } else {
        format!("{entries} entries")
    }
}
