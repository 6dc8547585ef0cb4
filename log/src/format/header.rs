//! The head of a segment: 64 bytes, written twice, so that one flipped bit does not take the salt away.

use super::VERSION;
use super::bytes::{u32_at, u64_at};

/// Bytes before the first entry: both copies.
pub const LENGTH: u64 = 2 * COPY as u64;
const COPY: usize = 64;
const MAGIC: &[u8; 8] = b"RELAYLOG";

/// What stands at the front of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// 0 as written, one more for each cleaning.
    pub generation: u16,
    /// The number in its name.
    pub number: u64,
    /// Number of its first entry after the opening checkpoint.
    pub first_seq: u64,
    /// Random, one for the whole log.
    pub salt: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Where an earlier segment ends whose sync failed.
    pub cut: Option<Cut>,
}

/// The end of an abandoned segment: what stands behind it was written again to the segment that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The abandoned segment.
    pub number: u64,
    /// Its length in bytes.
    pub at: u32,
}

/// Why a head could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither copy is whole.
    Damaged,
    /// Another version of the format.
    Version(u16),
}

impl SegmentHeader {
    /// Both copies.
    pub fn encode(&self) -> [u8; 2 * COPY] {
        let mut copy = [0; COPY];
        copy[..8].copy_from_slice(MAGIC);
        copy[8..10].copy_from_slice(&VERSION.to_le_bytes());
        copy[10..12].copy_from_slice(&self.generation.to_le_bytes());
        copy[16..24].copy_from_slice(&self.number.to_le_bytes());
        copy[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        copy[32..40].copy_from_slice(&self.salt.to_le_bytes());
        copy[40..48].copy_from_slice(&self.created_ms.to_le_bytes());
        if let Some(cut) = self.cut {
            copy[48..52].copy_from_slice(&cut.at.to_le_bytes());
            copy[52..56].copy_from_slice(&((self.number - cut.number) as u32).to_le_bytes());
        }
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; 2 * COPY];
        both[..COPY].copy_from_slice(&copy);
        both[COPY..].copy_from_slice(&copy);
        both
    }

    /// The first copy that is whole.
    ///
    /// # Errors
    /// [`HeaderError`] when there is none, or when it is of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        bytes
            .chunks_exact(COPY)
            .take(2)
            .find_map(Self::decode_copy)
            .unwrap_or(Err(HeaderError::Damaged))
    }

    /// How many of the copies in `bytes` are whole.
    pub fn whole_copies(bytes: &[u8]) -> usize {
        bytes
            .chunks_exact(COPY)
            .take(2)
            .filter_map(Self::decode_copy)
            .count()
    }

    fn decode_copy(copy: &[u8]) -> Option<Result<Self, HeaderError>> {
        if &copy[..8] != MAGIC || crc32fast::hash(&copy[..60]) != u32_at(copy, 60) {
            return None;
        }
        let version = u16::from_le_bytes([copy[8], copy[9]]);
        if version != VERSION {
            return Some(Err(HeaderError::Version(version)));
        }
        let number = u64_at(copy, 16);
        let back = u64::from(u32_at(copy, 52));
        Some(Ok(Self {
            generation: u16::from_le_bytes([copy[10], copy[11]]),
            number,
            first_seq: u64_at(copy, 24),
            salt: u64_at(copy, 32),
            created_ms: u64_at(copy, 40) as i64,
            cut: (back > 0).then(|| Cut {
                number: number.saturating_sub(back),
                at: u32_at(copy, 48),
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: SegmentHeader = SegmentHeader {
        generation: 2,
        number: 42,
        first_seq: 7_000_000_000,
        salt: 0xfeed_beef,
        created_ms: 1_760_000_000_000,
        cut: Some(Cut { number: 40, at: 4096 }),
    };

    #[test]
    fn a_bit_flipped_anywhere_leaves_the_other_copy() {
        let whole = SAMPLE.encode();
        assert_eq!(SegmentHeader::whole_copies(&whole), 2);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Ok(SAMPLE), "bit {bit}");
            assert_eq!(SegmentHeader::whole_copies(&bytes), 1, "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = SAMPLE.encode();
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Version(9)));
        assert_eq!(SegmentHeader::decode(&[0; 128]), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(b"short"), Err(HeaderError::Damaged));
    }
}
