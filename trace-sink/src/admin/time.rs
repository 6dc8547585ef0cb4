//! Instants and durations for people.

use relay_schemas::TimestampMs;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// `2026-11-21 09:00:00.123` (UTC).
pub(super) fn instant(at: TimestampMs) -> String {
    let (days, of_day) = (at.0.div_euclid(DAY_MS), at.0.rem_euclid(DAY_MS));
    let (year, month, day) = date(days);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
}

/// The proleptic Gregorian date of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
