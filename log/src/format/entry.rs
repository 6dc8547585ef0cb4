//! An entry: a head of 80 bytes with its own checksum, then key, meta and value, with one checksum for the first two and one
//! for the last. The head names the entry before it, so that a lost one is named by its successor and a stale one does not join.

use super::bytes::{u32_at, u64_at};

/// Bytes of a head.
pub const LENGTH: usize = 80;
/// First bytes of each head: where one is lost, the next is found by them.
pub const MARKER: [u8; 4] = [0xf5, b'R', b'L', 0xa7];
/// The slot of what belongs to no partition.
pub const NO_SLOT: u32 = u32::MAX;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A record of a slot.
    Record = 1,
    /// A change of a note: the key is its name.
    Note = 2,
    /// All notes and the next offset of every slot.
    Checkpoint = 3,
    /// Nothing: it proves that what came before is on disk.
    Mark = 4,
    /// Where everything in this segment is; the last entry of a closed one.
    Footer = 5,
}

/// Bits of [`EntryHeader::flags`].
pub mod flag {
    /// A batch ends here; without its end it never happened.
    pub const LAST_OF_BATCH: u8 = 1;
    /// The record has a key, even if it is empty.
    pub const HAS_KEY: u8 = 4;
    /// The record removes its key; the note is removed.
    pub const TOMBSTONE: u8 = 8;
}

/// The entry before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// Its slot.
    pub slot: u32,
    /// Its offset.
    pub offset: i64,
    /// The checksum of its head; 0 at the front of a segment.
    pub crc: u32,
}

impl Previous {
    /// There is none: the front of a segment.
    pub const NONE: Self = Self {
        slot: NO_SLOT,
        offset: -1,
        crc: 0,
    };
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// Counts entries for ever.
    pub seq: u64,
    /// Offset in its slot; -1 for what is no record.
    pub offset: i64,
    /// When it was appended, milliseconds since 1970.
    pub timestamp: i64,
    /// Every entry with a smaller number was on disk when this was written.
    pub synced: u64,
    /// Whose record it is.
    pub slot: u32,
    /// What it is.
    pub kind: Kind,
    /// See [`flag`].
    pub flags: u8,
    /// Bytes of the key, the first part of what `meta_crc` covers.
    pub key_len: u16,
    /// Bytes of key and meta.
    pub meta_len: u32,
    /// Bytes of the value.
    pub value_len: u32,
    /// Checksum of key and meta.
    pub meta_crc: u32,
    /// Checksum of the value.
    pub value_crc: u32,
    /// The entry before.
    pub previous: Previous,
}

impl EntryHeader {
    /// Bytes of the whole entry.
    pub fn size(&self) -> u64 {
        LENGTH as u64 + u64::from(self.meta_len) + u64::from(self.value_len)
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The head as bytes, and its checksum.
    pub fn encode(&self, seed: u32) -> ([u8; LENGTH], u32) {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.synced.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.previous.offset.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.slot.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.previous.slot.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.previous.crc.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.meta_len.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.value_len.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.meta_crc.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.value_crc.to_le_bytes());
        bytes[76] = self.kind as u8;
        bytes[77] = self.flags;
        bytes[78..80].copy_from_slice(&self.key_len.to_le_bytes());
        let crc = checksum(seed, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads a head back with its checksum; nothing if it is none, or is damaged.
    pub fn decode(bytes: &[u8], seed: u32) -> Option<(Self, u32)> {
        let bytes = bytes.get(..LENGTH)?;
        let crc = u32_at(bytes, 4);
        if bytes[..4] != MARKER || checksum(seed, &bytes[8..]) != crc {
            return None;
        }
        let kind = match bytes[76] {
            1 => Kind::Record,
            2 => Kind::Note,
            3 => Kind::Checkpoint,
            4 => Kind::Mark,
            5 => Kind::Footer,
            _ => return None,
        };
        let header = Self {
            seq: u64_at(bytes, 8),
            offset: u64_at(bytes, 16) as i64,
            timestamp: u64_at(bytes, 24) as i64,
            synced: u64_at(bytes, 32),
            slot: u32_at(bytes, 48),
            kind,
            flags: bytes[77],
            key_len: u16::from_le_bytes([bytes[78], bytes[79]]),
            meta_len: u32_at(bytes, 60),
            value_len: u32_at(bytes, 64),
            meta_crc: u32_at(bytes, 68),
            value_crc: u32_at(bytes, 72),
            previous: Previous {
                slot: u32_at(bytes, 52),
                offset: u64_at(bytes, 40) as i64,
                crc: u32_at(bytes, 56),
            },
        };
        (u32::from(header.key_len) <= header.meta_len).then_some((header, crc))
    }

    /// The head that `bytes` were before one of their bits turned over, for who knows by another way whose it must be. The
    /// checksum tells any two heads apart that differ in fewer than five bits, so that there is at most one.
    pub fn mended(bytes: &[u8], seed: u32) -> Option<Self> {
        let mut bytes: [u8; LENGTH] = bytes.get(..LENGTH)?.try_into().ok()?;
        (0..LENGTH * 8).find_map(|bit| {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let header = Self::decode(&bytes, seed);
            bytes[bit / 8] ^= 1 << (bit % 8);
            header.map(|(header, _)| header)
        })
    }
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> EntryHeader {
        EntryHeader {
            seq: 1 << 40,
            offset: 77,
            timestamp: 1_760_000_000_000,
            synced: 1 << 39,
            slot: 3 << 16 | 1,
            kind: Kind::Record,
            flags: flag::LAST_OF_BATCH | flag::HAS_KEY,
            key_len: 3,
            meta_len: 10,
            value_len: 2048,
            meta_crc: 1,
            value_crc: 2,
            previous: Previous {
                slot: 9,
                offset: 76,
                crc: 3,
            },
        }
    }

    #[test]
    fn a_head_comes_back_and_with_any_bit_flipped_or_another_seed_it_does_not() {
        let header = sample();
        let (bytes, crc) = header.encode(5);
        assert_eq!(EntryHeader::decode(&bytes, 5), Some((header, crc)));
        assert_eq!(EntryHeader::decode(&bytes, 6), None);
        for bit in 0..LENGTH * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(EntryHeader::decode(&flipped, 5), None, "bit {bit}");
        }
    }

    #[test]
    fn one_flipped_bit_of_a_head_is_found_and_two_are_not() {
        let header = sample();
        let (bytes, _) = header.encode(5);
        for bit in 0..LENGTH * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(EntryHeader::mended(&flipped, 5), Some(header), "bit {bit}");
            let other = (bit + 77) % (LENGTH * 8);
            flipped[other / 8] ^= 1 << (other % 8);
            assert_eq!(EntryHeader::mended(&flipped, 5), None, "bits {bit} and {other}");
        }
    }
}
