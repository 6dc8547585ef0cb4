//! How the log lies on disk, byte by byte: `docs/log-format.md` describes it. All integers are little endian.

pub(crate) mod bytes;
pub mod checkpoint;
pub mod entry;
pub mod footer;
pub mod header;

/// Version of the format that this code writes, and the only one that it reads.
pub const VERSION: u16 = 1;

/// What the checksums of a segment's entry headers start from. It depends on the log's random salt, so that no content of a
/// record can pass for a header, and on the number, so that no block of another segment can.
pub fn seed(salt: u64, number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

/// The file of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

/// The file that is written for a segment before it takes its place; what is left of one is removed when the log opens.
pub fn temporary_name(number: u64) -> String {
    format!("{number:020}.tmp")
}

/// The number of the segment that a file is.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}
