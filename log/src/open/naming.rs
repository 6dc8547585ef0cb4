//! What checkpoints know: the notes, and which offsets were given to what is lost.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::list::Listed;
use crate::error::OpenError;
use crate::format::checkpoint::{self, Checkpoint};
use crate::format::entry::{Kind, NO_SLOT};
use crate::format::footer::Summary;
use crate::format::header::LENGTH as FRONT;
use crate::format::{seed, segment_name};
use crate::scan::{Item, Scanner};
use crate::segment::Closed;
use crate::storage::Storage;
use crate::{Seq, Slot};

/// Names what is lost at the end of a segment without a footer: its `own` last checkpoint and that at the front of the next one
/// say which offsets were given in between.
pub(super) fn name_from_checkpoints<S: Storage>(
    storage: &S,
    segment: &mut Closed,
    own: Checkpoint,
    following: &Listed,
    nameless: u64,
    salt: u64,
) -> Result<(), OpenError> {
    let Some(next) = first_checkpoint(storage, following, FRONT, salt)? else {
        return Ok(());
    };
    let between = |number: &u64| (segment.number + 1..following.number).contains(number);
    if next.segments.iter().any(between) {
        // One that was taken away since held what is missing.
        return Ok(());
    }
    let own: BTreeMap<Slot, i64> = own.next.into_iter().collect();
    let jumps: Vec<_> = next
        .next
        .into_iter()
        .map(|(slot, next)| {
            let held = segment.summary(slot).map_or(0, |summary| summary.end);
            (slot, held.max(own.get(&slot).copied().unwrap_or(0))..next)
        })
        .filter(|(slot, lost)| *slot != NO_SLOT && !lost.is_empty())
        .collect();
    let jumped: i64 = jumps.iter().map(|(_, lost)| lost.end - lost.start).sum();
    if jumped as u64 <= nameless {
        name_lost(segment, &jumps);
    }
    Ok(())
}

/// What the next checkpoint knows of and nothing else does was at the end of `segment`, where nothing is readable.
pub(super) fn name_lost(segment: &mut Closed, jumps: &[(Slot, Range<i64>)]) {
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

pub(super) fn closing_checkpoint<S: Storage>(
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

/// What the opening checkpoint of a segment says its first entry is, where its head is damaged.
pub(super) fn opening_seq<S: Storage>(
    storage: &S,
    listed: &Listed,
    salt: u64,
) -> Result<Option<Seq>, OpenError> {
    scan(storage, listed, FRONT, salt, |scanner| {
        Ok(match scanner.next()? {
            Some(Item::Entry(entry)) if entry.header.kind == Kind::Checkpoint => Some(entry.header.seq + 1),
            _ => None,
        })
    })
}

pub(super) fn opens_whole<S: Storage>(storage: &S, listed: &Listed, salt: u64) -> Result<bool, OpenError> {
    first_checkpoint(storage, listed, FRONT, salt).map(|found| found.is_some())
}

/// The checkpoint at `at`, if it is whole.
fn first_checkpoint<S: Storage>(
    storage: &S,
    listed: &Listed,
    at: u64,
    salt: u64,
) -> Result<Option<Checkpoint>, OpenError> {
    scan(storage, listed, at, salt, |scanner| {
        Ok(match scanner.next()? {
            Some(Item::Entry(entry)) if entry.header.kind == Kind::Checkpoint && entry.is_whole() => {
                checkpoint::decode(&scanner.value(&entry)?)
            }
            _ => None,
        })
    })
}

/// Looks at the entries of a segment from `at` on.
fn scan<S: Storage, T>(
    storage: &S,
    listed: &Listed,
    at: u64,
    salt: u64,
    look: impl FnOnce(&mut Scanner<'_, S::File>) -> io::Result<T>,
) -> Result<T, OpenError> {
    let name = segment_name(listed.number);
    let read = storage.open(&name).and_then(|file| {
        let seed = seed(salt, listed.number);
        look(&mut Scanner::new(&*file, seed, at, listed.length).around())
    });
    read.map_err(OpenError::io(format!("reading {name}")))
}
