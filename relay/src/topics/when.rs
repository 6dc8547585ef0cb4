//! A moment as people read it. Pure.

use std::time::{Duration, SystemTime};

use relay_schemas::TimestampMs;

/// The last second that is written with four digits for the year.
const LAST_MS: u64 = 253_402_300_799_000;

/// In UTC, to the second.
pub fn when(at: TimestampMs) -> String {
    let ms = u64::try_from(at.0).unwrap_or(0).min(LAST_MS);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        for (ms, text) in [
            (1_764_529_200_999, "2025-11-30T19:00:00Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(when(TimestampMs(ms)), text);
        }
    }
}
