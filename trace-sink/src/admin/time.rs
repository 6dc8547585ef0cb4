//! Instants and durations for people.

use jiff::Timestamp;
use relay_schemas::TimestampMs;

/// `2026-11-21 09:00:00.123` (UTC); the bare number where no calendar reaches.
pub(super) fn instant(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(
        |_| format!("{} ms", at.0),
        |instant| instant.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    )
}

/// `2026-11-21 09:00` (UTC); the bare number where no calendar reaches.
pub(crate) fn hour(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(
        |_| format!("{} ms", at.0),
        |instant| instant.strftime("%Y-%m-%d %H:00").to_string(),
    )
}

/// `12 ms`, `1.20 s`, `3 min 4 s`, `5 h 6 min`; a dash where there is none.
pub(super) fn duration(ms: Option<i64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms.abs() < 1_000 => format!("{ms} ms"),
        Some(ms) if ms.abs() < 60_000 => format!("{:.2} s", ms as f64 / 1_000.0),
        Some(ms) if ms.abs() < 3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        Some(ms) => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_the_calendars() {
        let cases = [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (1_700_000_000_123, "2023-11-14 22:13:20.123"),
            (4_107_542_399_999, "2100-02-28 23:59:59.999"),
            (-1, "1969-12-31 23:59:59.999"),
            (253_402_207_200_000, "9999-12-30 22:00:00.000"),
            (i64::MAX, "9223372036854775807 ms"),
        ];
        for (ms, expected) in cases {
            assert_eq!(instant(TimestampMs(ms)), expected);
        }
    }

    #[test]
    fn durations_choose_their_unit() {
        let cases = [
            (None, "–"),
            (Some(0), "0 ms"),
            (Some(999), "999 ms"),
            (Some(1_234), "1.23 s"),
            (Some(184_500), "3 min 4 s"),
            (Some(3_600_000), "1 h 0 min"),
        ];
        for (ms, expected) in cases {
            assert_eq!(duration(ms), expected);
        }
    }
}
