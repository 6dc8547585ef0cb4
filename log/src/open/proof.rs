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

/// The first of the segments that must be gone through, and the number up to which everything was on disk. A closed segment
/// need not be, once later entries prove that all of it was.
pub(crate) fn suspects<S: Storage>(
    storage: &S,
    segments: &[Listed],
    salt: u64,
) -> Result<(usize, Seq), OpenError> {
    let mut proven = 0;
    for (at, listed) in segments.iter().enumerate().rev() {
        let sealed = listed.sealed.as_ref();
        let last = at + 1 == segments.len();
        if !last && sealed.is_some_and(|sealed| sealed.contents.end_seq <= proven) {
            return Ok((at + 1, proven));
        }
        let name = segment_name(listed.number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        let said = largest_synced(&*file, listed, salt).map_err(OpenError::io(format!("reading {name}")))?;
        proven = proven.max(said);
    }
    Ok((0, proven))
}

fn largest_synced<F: StorageFile>(file: &F, listed: &Listed, salt: u64) -> io::Result<Seq> {
    let mut proven = 0;
    let mut scanner = Scanner::new(file, seed(salt, listed.number), FRONT, listed.length)
        .heads_only()
        .around();
    while let Some(item) = scanner.next()? {
        if let Item::Entry(entry) = item {
            proven = proven.max(entry.header.synced);
        }
    }
    Ok(proven)
}

/// Whether a segment whose head is unreadable was made and never written to; a disk that fails is no proof of that. `seed` is
/// missing where no segment has a head.
pub(super) fn is_stillborn<F: StorageFile>(file: &F, length: u64, seed: Option<u32>) -> io::Result<bool> {
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
