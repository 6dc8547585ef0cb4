//! Laying out entries one behind the other.

use crate::format::entry::{EntryHeader, Kind, NO_SLOT, Previous};
use crate::{Seq, Slot};

/// What goes into one entry.
pub(crate) struct Draft<'a> {
    pub kind: Kind,
    pub flags: u8,
    pub slot: Slot,
    pub offset: i64,
    pub key: &'a [u8],
    pub meta: &'a [u8],
    pub value: &'a [u8],
}

/// Lays out entries one behind the other.
pub(crate) struct Layout<'a> {
    pub bytes: &'a mut Vec<u8>,
    pub seed: u32,
    pub synced: Seq,
    pub now_ms: i64,
    pub seq: Seq,
    pub chain: Previous,
}

impl Layout<'_> {
    pub(crate) fn put(&mut self, draft: &Draft<'_>) {
        let mut meta_crc = crc32fast::Hasher::new();
        meta_crc.update(draft.key);
        meta_crc.update(draft.meta);
        let header = EntryHeader {
            seq: self.seq,
            offset: draft.offset,
            timestamp: self.now_ms,
            synced: self.synced,
            slot: draft.slot,
            kind: draft.kind,
            flags: draft.flags,
            key_len: draft.key.len() as u16,
            meta_len: (draft.key.len() + draft.meta.len()) as u32,
            value_len: draft.value.len() as u32,
            meta_crc: meta_crc.finalize(),
            value_crc: crc32fast::hash(draft.value),
            previous: self.chain,
        };
        let (head, crc) = header.encode(self.seed);
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(draft.key);
        self.bytes.extend_from_slice(draft.meta);
        self.bytes.extend_from_slice(draft.value);
        self.chain = Previous {
            slot: draft.slot,
            offset: draft.offset,
            crc,
        };
        self.seq += 1;
    }
}

/// An entry that belongs to no partition.
pub(crate) fn without_slot<'a>(kind: Kind, flags: u8, meta: &'a [u8], value: &'a [u8]) -> Draft<'a> {
    Draft {
        kind,
        flags,
        slot: NO_SLOT,
        offset: -1,
        key: &[],
        meta,
        value,
    }
}
