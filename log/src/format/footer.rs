//! The end of a closed segment: what it holds of each slot (the meta of its last entry), where every record is (the value),
//! and 32 bytes at the very end by which both are found.

use super::bytes::{put_varint, take_i64, take_varint, u32_at, u64_at};
use super::entry;

/// Bytes at the very end of a closed segment.
pub const TRAILER: usize = 32;
const MAGIC: &[u8; 8] = b"RLOGFOOT";

/// What a segment holds of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The slot.
    pub slot: u32,
    /// The first offset.
    pub first: i64,
    /// One past the last offset.
    pub end: i64,
    /// Records there are; fewer than the offsets where some were taken away.
    pub count: u32,
    /// Their bytes, heads included.
    pub bytes: u64,
    /// The oldest append, milliseconds since 1970.
    pub oldest_ms: i64,
    /// The newest append.
    pub newest_ms: i64,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its offset, counted from the first of its slot in this segment.
    pub delta: u32,
    /// Its first byte in the file.
    pub position: u32,
    /// Its bytes; 0 where its head is lost.
    pub size: u32,
}

/// The summaries of a segment, ordered by slot, and where its entries end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// One past the number of the last entry, the footer included.
    pub end_seq: u64,
    /// Where the closing checkpoint begins.
    pub checkpoint_at: u32,
    /// What is there of each slot.
    pub summaries: Vec<Summary>,
}

/// Encodes the meta of a footer.
pub fn encode_contents(contents: &Contents) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + 48 * contents.summaries.len());
    put_varint(&mut bytes, contents.end_seq);
    put_varint(&mut bytes, u64::from(contents.checkpoint_at));
    put_varint(&mut bytes, contents.summaries.len() as u64);
    for summary in &contents.summaries {
        put_varint(&mut bytes, u64::from(summary.slot));
        put_varint(&mut bytes, summary.first as u64);
        put_varint(&mut bytes, (summary.end - summary.first) as u64);
        put_varint(&mut bytes, u64::from(summary.count));
        put_varint(&mut bytes, summary.bytes);
        bytes.extend_from_slice(&summary.oldest_ms.to_le_bytes());
        bytes.extend_from_slice(&summary.newest_ms.to_le_bytes());
    }
    bytes
}

/// Reads the meta of a footer; nothing if it is none.
pub fn decode_contents(mut bytes: &[u8]) -> Option<Contents> {
    let bytes = &mut bytes;
    let mut contents = Contents {
        end_seq: take_varint(bytes)?,
        checkpoint_at: u32::try_from(take_varint(bytes)?).ok()?,
        summaries: Vec::new(),
    };
    for _ in 0..take_varint(bytes)? {
        let slot = u32::try_from(take_varint(bytes)?).ok()?;
        let first = take_varint(bytes)? as i64;
        contents.summaries.push(Summary {
            slot,
            first,
            end: first.checked_add(i64::try_from(take_varint(bytes)?).ok()?)?,
            count: u32::try_from(take_varint(bytes)?).ok()?,
            bytes: take_varint(bytes)?,
            oldest_ms: take_i64(bytes)?,
            newest_ms: take_i64(bytes)?,
        });
    }
    Some(contents)
}

/// Appends the places of one slot to the value of a footer.
pub fn encode_places(bytes: &mut Vec<u8>, places: &[Place]) {
    let (mut delta, mut position) = (0, 0);
    for place in places {
        put_varint(bytes, u64::from(place.delta - delta));
        put_varint(bytes, u64::from(place.position - position));
        put_varint(bytes, u64::from(place.size));
        (delta, position) = (place.delta, place.position);
    }
}

/// Takes the places of one slot off the front of the value of a footer.
pub fn take_places(bytes: &mut &[u8], count: u32) -> Option<Vec<Place>> {
    // Each is three bytes at least, so a damaged count cannot ask for more than there is.
    let mut places = Vec::with_capacity((count as usize).min(bytes.len() / 3));
    let (mut delta, mut position) = (0_u32, 0_u32);
    for _ in 0..count {
        delta = delta.checked_add(u32::try_from(take_varint(bytes)?).ok()?)?;
        position = position.checked_add(u32::try_from(take_varint(bytes)?).ok()?)?;
        let size = u32::try_from(take_varint(bytes)?).ok()?;
        places.push(Place {
            delta,
            position,
            size,
        });
    }
    Some(places)
}

/// The last bytes of a closed segment.
pub fn encode_trailer(footer_at: u64, meta_len: u32, salt: u64) -> [u8; TRAILER] {
    let mut bytes = [0; TRAILER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&footer_at.to_le_bytes());
    bytes[16..24].copy_from_slice(&salt.to_le_bytes());
    bytes[24..28].copy_from_slice(&meta_len.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Where the footer is, how long its meta is, and the log's salt; nothing if these are not the last bytes of a closed segment.
pub fn decode_trailer(bytes: &[u8; TRAILER]) -> Option<(u64, u32, u64)> {
    let whole = &bytes[..8] == MAGIC && crc32fast::hash(&bytes[..28]) == u32_at(bytes, 28);
    whole.then(|| (u64_at(bytes, 8), u32_at(bytes, 24), u64_at(bytes, 16)))
}

/// Where the meta of a footer ends that begins at `footer_at`.
pub fn meta_end(footer_at: u64, meta_len: u32) -> u64 {
    footer_at + entry::LENGTH as u64 + u64::from(meta_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_places_come_back_and_a_cut_is_noticed() {
        let contents = Contents {
            end_seq: 900,
            checkpoint_at: 70_000,
            summaries: vec![Summary {
                slot: 7,
                first: 100,
                end: 260,
                count: 2,
                bytes: 4096,
                oldest_ms: -5,
                newest_ms: 1_760_000_000_000,
            }],
        };
        let bytes = encode_contents(&contents);
        assert_eq!(decode_contents(&bytes), Some(contents));
        assert_eq!(decode_contents(&bytes[..bytes.len() - 1]), None);

        let places = vec![
            Place {
                delta: 0,
                position: 128,
                size: 90,
            },
            Place {
                delta: 159,
                position: 5000,
                size: 0,
            },
        ];
        let mut bytes = Vec::new();
        encode_places(&mut bytes, &places);
        assert_eq!(take_places(&mut bytes.as_slice(), 2), Some(places));
        assert_eq!(take_places(&mut bytes.as_slice(), u32::MAX), None);
    }

    #[test]
    fn the_last_bytes_come_back_and_with_any_bit_flipped_they_do_not() {
        let bytes = encode_trailer(9000, 33, 5);
        assert_eq!(decode_trailer(&bytes), Some((9000, 33, 5)));
        for bit in 0..TRAILER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_trailer(&flipped), None, "bit {bit}");
        }
    }
}
