//! Looking at every byte: what is damaged, and where. Changes nothing.

use crate::error::OpenError;
use crate::format::checkpoint::Notes;
use crate::format::header::{self, SegmentHeader};
use crate::format::segment_name;
use crate::io::read_vec;
use crate::open::{self, Replay};
use crate::opened::{CutOff, Damage};
use crate::storage::Storage;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments there are.
    pub segments: usize,
    /// Records in them, damaged ones included.
    pub records: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// What is not as it was written.
    pub damaged: Vec<Damage>,
    /// What opening would cut off, since nothing says that it was ever on disk. Where a process is writing, that is what it
    /// was writing just then.
    pub cut: Option<CutOff>,
    /// The notes at the end.
    pub notes: Notes,
}

/// Looks at everything in a folder.
///
/// # Errors
/// As [`crate::Log::open`].
pub fn verify<S: Storage>(storage: &S) -> Result<Verified, OpenError> {
    let listing = open::without_void(storage, open::list(storage)?)?;
    let misnamed = listing.misnamed.iter().map(|(found, is)| Damage {
        segment: *found,
        position: 0,
        slot: None,
        offset: None,
        what: format!(
            "this file is {}: the next start gives it that name, or sets it aside where that is taken",
            segment_name(*is)
        ),
    });
    let Some(first) = listing.segments.first() else {
        return Ok(Verified {
            segments: listing.misnamed.len(),
            damaged: misnamed.collect(),
            ..Verified::default()
        });
    };
    let salt = listing
        .salt
        .ok_or_else(|| OpenError::Damaged(segment_name(first.number)))?;
    let (first, proof) = open::suspects(storage, &listing.segments, salt)?;
    let unread_head = open::unread_head(&listing.segments, first);
    let Replay {
        tail,
        opened,
        torn,
        unread,
        doubtful,
        ..
    } = open::replay(storage, &listing.segments, 0, proof, salt)?;
    let closed = tail.closed.iter().flat_map(|segment| &segment.summaries);
    let closed: u64 = closed.map(|summary| u64::from(summary.count)).sum();
    let active = tail.active.as_ref().map_or(0, |active| active.index.records());
    let mut verified = Verified {
        segments: listing.segments.len(),
        records: closed + u64::from(active),
        bytes: opened.scanned,
        damaged: opened.damaged,
        cut: torn
            .filter(|_| unread.is_none() && unread_head.is_none())
            .map(|torn| CutOff {
                segment: torn.segment,
                at: torn.at,
                bytes: torn.bytes,
            }),
        notes: tail.notes.notes,
    };
    verified.damaged.extend(misnamed);
    let unread = unread.or(unread_head.map(|number| (number, 0)));
    verified.damaged.extend(unread.map(|(segment, position)| Damage {
        segment,
        position,
        slot: None,
        offset: None,
        what: "from here on the disk does not give the log back, and what stands there may have been acknowledged: no gateway starts \
               on it until the disk does, or a backup is restored"
            .to_owned(),
    }));
    let heads = listing.segments.iter().filter(|listed| {
        let may_be_torn = doubtful.is_some_and(|from| listed.number >= from);
        !may_be_torn || listed.begins_whole()
    });
    for listed in heads {
        verified.damaged.extend(damaged_head(storage, listed.number)?);
    }
    verified
        .damaged
        .sort_by_key(|damage| (damage.segment, damage.position));
    Ok(verified)
}

fn damaged_head<S: Storage>(storage: &S, number: u64) -> Result<Option<Damage>, OpenError> {
    let name = segment_name(number);
    let file = storage
        .open(&name)
        .map_err(OpenError::io(format!("opening {name}")))?;
    let what = match read_vec(&*file, 0, header::LENGTH as usize) {
        Err(error) => format!("the segment's head cannot be read: {error}"),
        Ok(head) if SegmentHeader::whole_copies(&head) < 2 => {
            "a copy of the segment's head is damaged".to_owned()
        }
        Ok(_) => return Ok(None),
    };
    Ok(Some(Damage {
        segment: number,
        position: 0,
        slot: None,
        offset: None,
        what,
    }))
}
