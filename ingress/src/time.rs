//! Durations as the records write them.

use std::time::Duration;

/// Whole milliseconds; the longest there are, where it is longer.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
