//! Goes through one segment of the tail.

use std::sync::Arc;

use bytes::Bytes;

use super::list::Listed;
use super::proof::place;
use super::state::{Change, State};
use crate::format::bytes::take_varint;
use crate::format::checkpoint;
use crate::format::entry::{self, Kind, NO_SLOT, Previous, flag};
use crate::format::footer::{Contents, TRAILER, decode_trailer, encode_contents};
use crate::format::header::LENGTH as FRONT;
use crate::format::seed;
use crate::io::read_around;
use crate::locate::Locator;
use crate::log::Boundary;
use crate::opened::Damage;
use crate::scan::{Entry, Item, Scanner};
use crate::storage::StorageFile;
use crate::{Seq, Slot};

/// One segment while it is gone through.
pub(super) struct Walk<'a, F: StorageFile> {
    pub listed: &'a Listed,
    pub file: Arc<F>,
    pub salt: u64,
    pub proven: Seq,
    pub first_seq: Seq,
    pub locator: Locator,
    pub pending: Vec<(Seq, Change)>,
    /// Everything before counts.
    pub good: Good,
    pub footer_at: Option<u64>,
    pub damaged: Vec<Damage>,
    pub named_at_checkpoint: u64,
    /// The last place that could not be read.
    pub unread: (u64, u64),
    /// From here on to its end nothing was readable.
    pub blind: Option<u64>,
}

/// The end of the last whole batch.
#[derive(Clone, Copy)]
pub(super) struct Good {
    pub position: u64,
    pub next_seq: Seq,
    pub chain: Previous,
}

impl<'a, F: StorageFile> Walk<'a, F> {
    pub(super) fn new(listed: &'a Listed, file: Arc<F>, salt: u64, proven: Seq, first_seq: Seq) -> Self {
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
            unread: (0, 0),
            blind: None,
        }
    }

    /// Goes to the end; false where the segment is torn behind [`Walk::good`].
    pub(super) fn go(&mut self, state: &mut State, next_first: Option<Seq>) -> std::io::Result<bool> {
        let file = Arc::clone(&self.file);
        let seed = seed(self.salt, self.listed.number);
        let mut scanner = Scanner::new(&*file, seed, FRONT, self.listed.length).around();
        let mut whole = self.walk(&mut scanner, state, next_first)?;
        let may_be_torn = self.first_seq >= self.proven && !self.listed.begins_whole();
        if !self.damaged.is_empty() && may_be_torn {
            // A loss of power tore what it opens with. What came after it is written again.
            self.damaged.clear();
            state.unproven = true;
            if next_first.is_none() && self.good.next_seq == self.first_seq {
                self.good.position = FRONT;
                whole = false;
            }
        }
        state.nameless += self.locator.nameless.saturating_sub(self.named_at_checkpoint);
        self.unread = self.unread.max(place(self.listed, &scanner));
        Ok(whole)
    }

    fn walk(
        &mut self,
        scanner: &mut Scanner<'_, F>,
        state: &mut State,
        next_first: Option<Seq>,
    ) -> std::io::Result<bool> {
        let mut lost: Option<u64> = None;
        while let Some(item) = scanner.next()? {
            if next_first == Some(self.good.next_seq) {
                // It was cut off here before the next one went on, and a loss of power brought that back.
                return Ok(true);
            }
            let entry = match item {
                Item::Lost { from, .. } => {
                    lost = Some(from);
                    self.locator.lost(from);
                    continue;
                }
                Item::Entry(entry) if next_first.is_some_and(|next| entry.header.seq >= next) => break,
                Item::Entry(entry) => entry,
            };
            if let Some(from) = lost.take() {
                if !self.passes_lost(state, from, &entry) {
                    return Ok(false);
                }
                let next = &state.next;
                self.locator.found(&entry, |slot| next.get(&slot).copied());
                if entry.header.seq <= self.proven {
                    self.pass(state, &entry);
                }
            }
            if !entry.is_whole() && !self.passes_damaged(&entry) {
                return Ok(false);
            }
            let next = &state.next;
            self.locator.entry(&entry, |slot| next.get(&slot).copied());
            let change = self.change(scanner, &entry)?;
            let seq = entry.header.seq;
            self.pending.extend(change.map(|change| (seq, change)));
            let is_footer = entry.header.kind == Kind::Footer;
            if is_footer && !self.ends_well(&entry) {
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
            let end = next_first.unwrap_or(self.proven).min(self.proven);
            self.lose_up_to(state, end, from, self.listed.length);
            if next_first.is_some_and(|next| next > end) {
                return Ok(false);
            }
        }
        Ok(self.pending.is_empty() || next_first.is_none() && self.good.next_seq >= self.proven)
    }

    /// All from `from` to `to` is lost, up to the entry `end`: of what is proven it is damage; of what is not, torn, and so is
    /// all that follows.
    fn lose_up_to(&mut self, state: &mut State, end: Seq, from: u64, to: u64) {
        let expected = self.locator.expected.max(self.first_seq);
        if !self.is_lost_footer(end, from, to) {
            self.locator.nameless += end.saturating_sub(expected);
        }
        self.locator.expected = end;
        let what = if to == self.listed.length {
            "nothing is readable from here to the segment's end"
        } else {
            "nothing is readable from here to where the log was torn"
        };
        self.damage(from, None, None, what);
        self.blind = Some(from);
        self.good.position = to;
        self.good.next_seq = end;
        state.boundary = Some(self.boundary(to));
    }

    /// Whether nothing but the footer of a cleaned segment was here. Numbers that are missing there say nothing.
    fn is_lost_footer(&self, end_seq: Seq, from: u64, to: u64) -> bool {
        let index = &self.locator.index;
        let contents = Contents {
            end_seq,
            checkpoint_at: from as u32,
            summaries: index.summaries(),
        };
        let meta = encode_contents(&contents).len();
        let places = index.encode(&contents.summaries).len();
        self.listed.generation() > 0 && to - from == (entry::LENGTH + meta + places + TRAILER) as u64
    }

    /// Whether what was lost before `entry` had been on disk; else it is torn.
    fn passes_lost(&mut self, state: &mut State, from: u64, entry: &Entry) -> bool {
        let expected = self.locator.expected;
        let opening = expected < self.first_seq;
        let lost_checkpoint_only = opening && entry.header.seq == self.first_seq;
        if !lost_checkpoint_only && expected.max(self.first_seq) >= self.proven {
            return false;
        }
        if !lost_checkpoint_only && entry.header.seq > self.proven {
            // One of these was not.
            self.lose_up_to(state, self.proven, from, entry.position);
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
            Kind::Mark if entry.is_whole() && header.value_len > 0 => {
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
    fn ends_well(&mut self, entry: &Entry) -> bool {
        let mut trailer = [0; TRAILER];
        let mut unread = 0;
        let read = read_around(&*self.file, &mut trailer, entry.end(), &mut unread);
        if unread > 0 {
            self.unread = (self.listed.number, unread);
        }
        let whole = read == TRAILER && decode_trailer(&trailer).is_some();
        if !whole && entry.header.seq < self.proven {
            self.damage(entry.end(), None, None, "the segment's last bytes are damaged");
            return true;
        }
        whole
    }

    /// All before `entry` was on disk: what of it is lost is damage, and stays where it is.
    fn pass(&mut self, state: &mut State, entry: &Entry) {
        for (seq, change) in self.pending.drain(..) {
            state.apply(seq, change);
        }
        self.good = Good {
            position: entry.position,
            next_seq: entry.header.seq.max(self.first_seq),
            chain: entry.header.previous,
        };
        state.boundary = Some(self.boundary(entry.position));
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
        state.stated = state.stated.max(entry.header.synced);
        state.marked = entry.header.kind == Kind::Mark;
        // What a segment opens with bears a number that is older than the segment.
        if entry.header.seq.max(self.first_seq) < self.proven {
            let is_footer = entry.header.kind == Kind::Footer;
            let end = if is_footer {
                self.listed.length
            } else {
                entry.end()
            };
            state.boundary = Some(self.boundary(end));
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
