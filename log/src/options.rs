//! Limits of the log.

/// Limits; the defaults keep the log's own memory below a few MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Bytes at which a segment is closed; at most 1 GiB.
    pub segment_size: u64,
    /// Records at which a segment is closed: where each of them is stays in memory until then, 12 bytes a record.
    pub segment_records: u32,
    /// Age in milliseconds at which [`crate::Log::roll_if_old`] closes a segment that holds anything.
    pub segment_age_ms: i64,
    /// Closed segments whose files are kept open.
    pub open_files: usize,
    /// Closed segments whose places are kept in memory once they were read from.
    pub indexes: usize,
    /// Superseded records of compacted slots at which a segment is cleaned, even if little room is won.
    pub dead_records: u32,
    /// The newest closed segments, which are never cleaned: what a crash may do to the tail is mended from them.
    pub never_cleaned: usize,
}

/// Most bytes of one append, and of one segment at the beginning of an append: places are 32 bits.
pub(crate) const MOST_APPEND: u64 = 1 << 30;

impl Options {
    pub(crate) fn segment_size(&self) -> u64 {
        self.segment_size.clamp(1, 1 << 30)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 32 << 20,
            segment_records: 131_072,
            segment_age_ms: 10 * 60 * 1000,
            open_files: 16,
            indexes: 4,
            dead_records: 1024,
            never_cleaned: 2,
        }
    }
}
