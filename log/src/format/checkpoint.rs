//! What a checkpoint holds: all notes, the next offset of every slot, and which segments there are.

use std::collections::BTreeMap;

use ::bytes::Bytes;

use super::bytes::{put_slice, put_varint, take_slice, take_varint};

/// All notes, by name.
pub type Notes = BTreeMap<Bytes, Bytes>;

/// Everything that must be known besides the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The notes.
    pub notes: Notes,
    /// The next offset of each slot.
    pub next: Vec<(u32, i64)>,
    /// The numbers of the segments that there are, without the one that begins with it, in order.
    pub segments: Vec<u64>,
}

/// Appends a checkpoint to `bytes`.
pub fn encode(
    bytes: &mut Vec<u8>,
    notes: &Notes,
    next: impl ExactSizeIterator<Item = (u32, i64)>,
    segments: impl ExactSizeIterator<Item = u64>,
) {
    put_varint(bytes, notes.len() as u64);
    for (name, value) in notes {
        put_slice(bytes, name);
        put_slice(bytes, value);
    }
    put_varint(bytes, next.len() as u64);
    for (slot, offset) in next {
        put_varint(bytes, u64::from(slot));
        put_varint(bytes, offset as u64);
    }
    put_varint(bytes, segments.len() as u64);
    let mut before = 0;
    for number in segments {
        put_varint(bytes, number - before);
        before = number;
    }
}

/// Reads a checkpoint back; nothing if it is none.
pub fn decode(mut bytes: &[u8]) -> Option<Checkpoint> {
    let bytes = &mut bytes;
    let mut checkpoint = Checkpoint::default();
    for _ in 0..take_varint(bytes)? {
        let name = Bytes::copy_from_slice(take_slice(bytes)?);
        let value = Bytes::copy_from_slice(take_slice(bytes)?);
        checkpoint.notes.insert(name, value);
    }
    for _ in 0..take_varint(bytes)? {
        let slot = u32::try_from(take_varint(bytes)?).ok()?;
        checkpoint.next.push((slot, take_varint(bytes)? as i64));
    }
    let mut before = 0;
    for _ in 0..take_varint(bytes)? {
        before += take_varint(bytes)?;
        checkpoint.segments.push(before);
    }
    Some(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_a_cut_one_does_not() {
        let checkpoint = Checkpoint {
            notes: Notes::from([
                (Bytes::from_static(b"commit"), Bytes::from_static(b"12")),
                (Bytes::from_static(b"empty"), Bytes::new()),
            ]),
            next: vec![(1 << 16, 5), (2, i64::MAX)],
            segments: vec![3, 4, 900],
        };
        let mut bytes = Vec::new();
        encode(
            &mut bytes,
            &checkpoint.notes,
            checkpoint.next.iter().copied(),
            checkpoint.segments.iter().copied(),
        );
        assert_eq!(decode(&bytes), Some(checkpoint));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }
}
