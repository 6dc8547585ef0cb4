//! Which entry of a segment lies at a byte: what a turned bit hits, and what may rightly be damaged then.

use crate::Seq;
use crate::format::entry::{self, EntryHeader, Kind};
use crate::format::header::{self, SegmentHeader};
use crate::format::seed;

/// What lies at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The head of the segment.
    SegmentHead,
    /// The head of an entry.
    Head,
    /// Key and meta of a record or note.
    Meta,
    /// The value of a record or note.
    Value,
    /// Any of a checkpoint's bytes but the head.
    Checkpoint,
    /// Any of a footer's bytes but the head, or the last bytes of the file.
    Footer,
}

impl Part {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SegmentHead => "in the head of a segment",
            Self::Head => "in the head of an entry",
            Self::Meta => "in a key or meta",
            Self::Value => "in a value",
            Self::Checkpoint => "in a checkpoint",
            Self::Footer => "in a footer",
        }
    }
}

/// What a turned bit hits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Victim {
    /// Number of the entry; none for the head of the segment.
    pub seq: Option<Seq>,
    /// Whether that is one of a batch; checkpoints bear numbers of others.
    pub of_batch: bool,
    pub part: Part,
}

/// An entry and where it is.
pub(super) struct Laid {
    pub position: usize,
    pub header: EntryHeader,
}

/// The entries of a segment whose heads are whole, in order.
pub(super) fn entries(bytes: &[u8], seed: u32) -> Vec<Laid> {
    let mut found = Vec::new();
    let mut position = header::LENGTH as usize;
    while position + entry::LENGTH <= bytes.len() {
        if let Some((header, _)) = EntryHeader::decode(&bytes[position..], seed) {
            found.push(Laid { position, header });
            position += header.size() as usize;
        } else {
            position += 1;
        }
    }
    found
}

/// What lies at `position`; nothing where that is no part of what was written, or is not whole already.
pub(super) fn victim(bytes: &[u8], position: usize) -> Option<Victim> {
    let head = SegmentHeader::decode(bytes).ok()?;
    if position < header::LENGTH as usize {
        let whole = SegmentHeader::whole_copies(&bytes[..bytes.len().min(header::LENGTH as usize)]) == 2;
        return whole.then_some(Victim {
            seq: None,
            of_batch: false,
            part: Part::SegmentHead,
        });
    }
    let entries = entries(bytes, seed(head.salt, head.number));
    let at = entries.partition_point(|laid| laid.position <= position);
    let laid = entries.get(at.checked_sub(1)?)?;
    let within = position - laid.position;
    let part = match laid.header.kind {
        _ if within < entry::LENGTH => Part::Head,
        Kind::Checkpoint => Part::Checkpoint,
        Kind::Footer => Part::Footer,
        _ if within < entry::LENGTH + laid.header.meta_len as usize => Part::Meta,
        _ => Part::Value,
    };
    let inside = within < laid.header.size() as usize;
    (inside || laid.header.kind == Kind::Footer).then_some(Victim {
        seq: Some(laid.header.seq),
        of_batch: matches!(laid.header.kind, Kind::Record | Kind::Note | Kind::Mark),
        part,
    })
}
