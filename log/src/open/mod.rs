//! Opening: `list` looks at every segment, `proof` finds out how much is certain to have been on disk, `replay` goes through
//! the tail and tells damage from what a loss of power tore, and here the torn end is cut off.

mod list;
mod misnamed;
mod naming;
mod proof;
mod replay;
mod state;
mod tail;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::error::OpenError;
use crate::files::{Files, Scanned, scan_index};
use crate::format::header::LENGTH as FRONT;
use crate::format::{seed, segment_name};
use crate::io::{read_vec, write_full};
use crate::log::{Boundary, Health, Log, OnDisk, SlotState};
use crate::opened::{CutOff, Opened};
use crate::options::Options;
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::sync_end::{Lost, Unreadable};
use crate::uncut::Uncut;

pub(crate) use list::{Listed, Listing, list, unread_head};
pub(crate) use proof::suspects;
pub(crate) use replay::replay;
pub(crate) use tail::{Replay, Tail};

/// Bytes written once more at once.
const PART: u64 = 1 << 20;

impl<S: Storage> Log<S> {
    /// Opens the log in a folder, or begins one. `salt` is a random number, used for a new log.
    ///
    /// # Errors
    /// [`OpenError`]; never because of what a crash left.
    pub fn open(
        storage: Arc<S>,
        options: Options,
        salt: u64,
        now_ms: i64,
    ) -> Result<(Self, Opened), OpenError> {
        let mut listing = list(&*storage)?;
        let misnamed = misnamed::put_in_place(&*storage, &listing)?;
        if !misnamed.is_empty() {
            listing = list(&*storage)?;
        }
        for name in &listing.leftovers {
            let _ = storage.remove(name);
        }
        let highest = listing.segments.last().map_or(0, |listed| listed.number);
        let highest = listing.void.iter().copied().max().unwrap_or(0).max(highest);
        let listing = without_void(&*storage, listing)?;
        if listing.segments.is_empty() {
            remove_all(&*storage, &listing.void)
                .map_err(OpenError::io("removing what was never written to"))?;
            let mut log = Self::assemble(storage, options, salt, highest + 1, Tail::default());
            log.begin(now_ms)?;
            return Ok((
                log,
                Opened {
                    fresh: true,
                    misnamed,
                    ..Opened::default()
                },
            ));
        }
        let salt = listing
            .salt
            .ok_or_else(|| OpenError::Damaged(segment_name(listing.segments[0].number)))?;
        let (first, proof) = suspects(&*storage, &listing.segments, salt)?;
        if let Some(number) = unread_head(&listing.segments, first) {
            return Err(OpenError::Unreadable(segment_name(number)));
        }
        let replay = replay(&*storage, &listing.segments, first, proof, salt)?;
        let Replay {
            first,
            tail,
            mut opened,
            torn,
            unread,
            void,
            ..
        } = replay;
        if let Some((segment, _)) = unread {
            return Err(OpenError::Unreadable(segment_name(segment)));
        }
        opened.misnamed = misnamed;
        let mut gone = listing.void;
        gone.extend(void);
        let before = listing.segments[..first].iter().enumerate();
        let next_first = |at: usize| listing.segments.get(at + 1).and_then(Listed::first_seq);
        let void = before.filter(|(at, listed)| listed.is_void(next_first(*at)));
        gone.extend(void.map(|(_, listed)| listed.number));
        if let Some(torn) = torn {
            let later = listing
                .segments
                .iter()
                .filter(|listed| listed.number > torn.segment);
            gone.extend(later.map(|listed| listed.number));
            gone.extend(torn.whole.then_some(torn.segment));
            opened.cut = Some(CutOff {
                segment: torn.segment,
                at: torn.at,
                bytes: torn.bytes,
            });
        }
        let (boundary, unproven, pinned) = (tail.boundary, tail.unproven, tail.pinned);
        let mut log = Self::assemble(storage, options, salt, highest + 1, tail);
        log.settle_closed(&listing.segments, first)?;
        let uncut = Uncut { gone, torn };
        if pinned {
            log.uncut = Some(uncut);
        } else {
            log.cut(&uncut)
                .map_err(OpenError::io("cutting the end of the log"))?;
        }
        opened.lost = log.settle_tail(boundary, unproven, now_ms);
        if log.active.is_none() && log.failing().is_none() {
            // A full disk is no reason not to open: the next append tries again.
            if let Err(error) = log.begin_segment(now_ms) {
                tracing::warn!(%error, "the log could not begin a segment; the next append tries again");
            }
        }
        Ok((log, opened))
    }

    fn assemble(storage: Arc<S>, options: Options, salt: u64, next_number: u64, tail: Tail<S::File>) -> Self {
        let files = Files::new(Arc::clone(&storage), salt, options.open_files, options.indexes);
        let slots = tail.next.into_iter();
        let slots = slots
            .map(|(slot, next)| (slot, SlotState::beginning(next)))
            .collect();
        let next_seq = tail.next_seq.max(1);
        let mut log = Self {
            storage,
            options,
            salt,
            files: Arc::new(files),
            closed: BTreeMap::new(),
            active: tail.active,
            next_number,
            slots,
            notes: tail.notes,
            next_seq,
            disk: OnDisk {
                synced: next_seq,
                boundary: Boundary::default(),
                proven: tail.proven,
                stated: tail.proven,
                marked: tail.marked,
                dirty: Vec::new(),
                indexes: BTreeMap::new(),
                folder_dirty: false,
                renamed: 0,
                renamed_synced: 0,
                in_flight: false,
            },
            health: Health::Good,
            compacted: BTreeMap::new(),
            cleaning: false,
            cleaning_segment: None,
            leaving: None,
            untold: Vec::new(),
            passed_over: BTreeMap::new(),
            void: Vec::new(),
            uncut: None,
            buffer: Vec::new(),
            placed: Vec::new(),
        };
        for segment in tail.closed {
            log.add_closed(Arc::new(segment));
        }
        log
    }

    /// Takes the segments before the tail from their footers; one without is read.
    fn settle_closed(&mut self, listed_all: &[Listed], count: usize) -> Result<(), OpenError> {
        let listed = &listed_all[..count];
        let mut before = 1;
        for (at, listed) in listed.iter().enumerate() {
            let following = listed_all.get(at + 1);
            if listed.is_void(following.and_then(Listed::first_seq)) {
                continue;
            }
            let first_seq = listed.first_seq().unwrap_or(before);
            let mut segment = Closed {
                end_seq: before,
                ..listed.unread(first_seq)
            };
            if let Some(sealed) = &listed.sealed {
                segment.end_seq = sealed.contents.end_seq;
                segment.footer_at = Some(sealed.footer_at);
                segment.summaries.clone_from(&sealed.contents.summaries);
            } else {
                let name = segment_name(listed.number);
                let file = self
                    .storage
                    .open(&name)
                    .map_err(OpenError::io(format!("opening {name}")))?;
                let next_first = following.and_then(|next| Some(next.header?.first_seq));
                segment.end_seq = next_first.unwrap_or(before);
                // Of the next one the head may be lost.
                let end = listed_all[at + 1..].iter().find_map(Listed::first_seq);
                let Scanned { locator, checkpoint } = scan_index(&*file, &segment, end, self.salt, false)
                    .or_else(|_| scan_index(&*file, &segment, end, self.salt, true))
                    .map_err(OpenError::io(format!("reading {name}")))?;
                segment.end_seq = locator.expected;
                segment.summaries = locator.index.summaries();
                // Where some were taken away from it, those are what is missing.
                let next = following.filter(|_| segment.generation == 0 && locator.nameless > 0);
                if let Some((checkpoint, following)) = checkpoint.zip(next) {
                    naming::name_from_checkpoints(
                        &*self.storage,
                        &mut segment,
                        checkpoint,
                        following,
                        locator.nameless,
                        self.salt,
                    )?;
                }
            }
            before = segment.end_seq;
            self.add_closed(Arc::new(segment));
        }
        Ok(())
    }

    /// Cuts off what is torn, for good.
    pub(crate) fn cut(&self, uncut: &Uncut) -> io::Result<()> {
        // Newest first, so that what another crash leaves has no hole.
        let mut gone = uncut.gone.clone();
        gone.sort_unstable_by(|left, right| right.cmp(left));
        remove_all(&*self.storage, &gone)?;
        if let Some(torn) = uncut.torn.filter(|torn| !torn.whole) {
            let file = self.storage.open(&segment_name(torn.segment))?;
            file.set_len(torn.at)?;
            file.sync()?;
        }
        self.storage.sync_folder()
    }

    /// Makes sure that the tail is on disk. Where a sync failed in a process that is gone, the system may hold pages for
    /// written that never were, so syncing them proves nothing. Records that nothing proves are written again to a new
    /// segment, as after a failed sync; and where that fails the log is failing from the beginning. What else nothing proves,
    /// as the mark of every quiet end, is written once more to where it is.
    fn settle_tail(&mut self, boundary: Boundary, unproven: bool, now_ms: i64) -> Vec<Lost> {
        let reason = if unproven {
            "what an earlier process wrote could not be written again".to_owned()
        } else {
            match self.write_once_more(boundary) {
                Ok(()) => {
                    self.disk.boundary = self.end().unwrap_or(boundary);
                    return Vec::new();
                }
                Err(error) => format!("writing the end of the log once more: {error}"),
            }
        };
        self.disk.synced = self.disk.proven.max(1);
        self.disk.boundary = boundary;
        self.health = Health::Failing(reason);
        self.mend(now_ms, Unreadable::Wait).lost
    }

    /// Where the next entry would begin, if there is any segment.
    fn end(&self) -> Option<Boundary> {
        let closed = || {
            let (number, segment) = self.closed.last_key_value()?;
            Some((*number, segment.length))
        };
        let active = self.active.as_ref().map(|active| (active.number, active.length));
        let (number, position) = active.or_else(closed)?;
        Some(Boundary { number, position })
    }

    /// Writes and syncs what stands behind a place, older segments first.
    fn write_once_more(&self, from: Boundary) -> io::Result<()> {
        let closed = self.closed.range(from.number..);
        let mut tail: Vec<_> = closed
            .map(|(number, segment)| (*number, segment.length))
            .collect();
        tail.extend(self.active.as_ref().map(|active| (active.number, active.length)));
        for (number, length) in tail {
            let file = self.storage.open(&segment_name(number))?;
            let mut at = if number == from.number && from.position > FRONT {
                from.position
            } else {
                0
            };
            while at < length {
                let part = read_vec(&*file, at, (length - at).min(PART) as usize)?;
                if part.is_empty() {
                    break;
                }
                write_full(&*file, &part, at)?;
                at += part.len() as u64;
            }
            file.sync()?;
        }
        Ok(())
    }

    /// Begins a segment that is on disk when this returns. That of a new log must be before anything is acknowledged: nothing
    /// else holds the salt.
    fn begin(&mut self, now_ms: i64) -> Result<(), OpenError> {
        let begun = self.begin_segment(now_ms).and_then(|()| {
            let active = self.active.as_ref().expect("it was just begun");
            active.file.sync()?;
            self.storage.sync_folder()
        });
        begun.map_err(OpenError::io("beginning the log"))?;
        self.disk.dirty.clear();
        self.disk.folder_dirty = false;
        let active = self.active.as_ref().expect("it was just begun");
        self.disk.boundary = Boundary {
            number: active.number,
            position: active.length,
        };
        Ok(())
    }
}

/// Takes out segments that are void because their heads never reached the disk.
pub(crate) fn without_void<S: Storage>(storage: &S, mut listing: Listing) -> Result<Listing, OpenError> {
    let mut kept = Vec::with_capacity(listing.segments.len());
    for listed in listing.segments {
        let name = segment_name(listed.number);
        let is_void = listed.header.is_none() && {
            let file = storage
                .open(&name)
                .map_err(OpenError::io(format!("opening {name}")))?;
            let salted = listing.salt.map(|salt| seed(salt, listed.number));
            proof::is_void(&*file, listed.length, salted).map_err(OpenError::io(format!("reading {name}")))?
        };
        if is_void {
            listing.void.push(listed.number);
        } else {
            kept.push(listed);
        }
    }
    listing.segments = kept;
    Ok(listing)
}

fn remove_all<S: Storage>(storage: &S, numbers: &[u64]) -> io::Result<()> {
    let mut numbers = numbers.iter();
    numbers.try_for_each(|number| match storage.remove(&segment_name(*number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}
