//! How much of the tail is certain to have been on disk: entries say up to where everything was when they were written.

use std::io;

use super::list::Listed;
use crate::Seq;
use crate::error::OpenError;
use crate::format::entry::LENGTH;
use crate::format::header::LENGTH as FRONT;
use crate::format::{seed, segment_name};
use crate::io::read_vec;
use crate::scan::{Item, Scanner};
use crate::storage::{Storage, StorageFile};

/// What the entries of the tail say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proof {
    /// Everything with a smaller number was on disk.
    pub proven: Seq,
    /// The last place that could not be read, by segment and end: what stands there may say more.
    pub unread: (u64, u64),
}

impl Proof {
    /// Whether something at or behind a place could not be read: it may have been acknowledged, so nothing is given up there.
    pub(super) fn is_unread(&self, segment: u64, from: u64) -> bool {
        self.unread > (segment, from)
    }
}

/// The first of the segments that must be gone through, and up to where everything was on disk. A closed segment need not be,
/// once later entries prove that all of it was.
pub(crate) fn suspects<S: Storage>(
    storage: &S,
    segments: &[Listed],
    salt: u64,
) -> Result<(usize, Proof), OpenError> {
    let mut proof = Proof::default();
    for (at, listed) in segments.iter().enumerate().rev() {
        let sealed = listed.sealed.as_ref();
        let last = at + 1 == segments.len();
        if !last && sealed.is_some_and(|sealed| sealed.contents.end_seq <= proof.proven) {
            return Ok((at + 1, proof));
        }
        let name = segment_name(listed.number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        ask(&*file, listed, salt, &mut proof).map_err(OpenError::io(format!("reading {name}")))?;
    }
    Ok((0, proof))
}

fn ask<F: StorageFile>(file: &F, listed: &Listed, salt: u64, proof: &mut Proof) -> io::Result<()> {
    let mut scanner = Scanner::new(file, seed(salt, listed.number), FRONT, listed.length)
        .heads_only()
        .around();
    while let Some(item) = scanner.next()? {
        if let Item::Entry(entry) = item {
            proof.proven = proof.proven.max(entry.header.synced);
        }
    }
    proof.unread = proof.unread.max(place(listed, &scanner));
    Ok(())
}

/// The last place of a segment that could not be read; before all others, if there is none.
pub(super) fn place<F: StorageFile>(listed: &Listed, scanner: &Scanner<'_, F>) -> (u64, u64) {
    match scanner.unread() {
        0 => (0, 0),
        end => (listed.number, end),
    }
}

/// Whether a segment without a head is void: it was made and never written to. A disk that fails is no proof of that. `seed` is
/// missing where no segment has a head.
pub(super) fn is_void<F: StorageFile>(file: &F, length: u64, seed: Option<u32>) -> io::Result<bool> {
    let Some(seed) = seed else {
        // The first segment's head is synced before anything is acknowledged.
        let head = read_vec(file, 0, FRONT as usize)?;
        return Ok(
            length <= FRONT + LENGTH as u64 + 3 || (length <= 4096 && head.iter().all(|byte| *byte == 0))
        );
    };
    let mut scanner = Scanner::new(file, seed, FRONT.min(length), length).heads_only();
    loop {
        match scanner.next() {
            Ok(None) => return Ok(true),
            Ok(Some(Item::Lost { .. })) => {}
            Ok(Some(Item::Entry(_))) | Err(_) => return Ok(false),
        }
    }
}
