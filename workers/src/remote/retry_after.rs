//! How long an endpoint wants to be left alone. Pure.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use relay_schemas::TimestampMs;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that is believed.
const MOST: Duration = Duration::from_secs(86_400);

/// What the headers ask for: milliseconds (`retry-after-ms`), seconds, or a date.
pub fn retry_after(headers: &HeaderMap, now: TimestampMs) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return wait(ms / 1_000.0);
    }
    let text = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse::<f64>() {
        return wait(seconds);
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    wait((date.as_millisecond() - now.0) as f64 / 1_000.0)
}

fn wait(seconds: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    Some(wait.min(MOST))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn seconds_milliseconds_and_dates_are_understood() {
        // Sat, 21 Nov 2026 08:45:43 GMT
        let now = TimestampMs(1_795_250_743_000);
        let cases = [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", " 0.5 ", Some(500)),
            ("retry-after", "-1", Some(0)),
            ("retry-after", "Sat, 21 Nov 2026 08:46:13 GMT", Some(30_000)),
            ("retry-after", "Sat, 21 Nov 2026 08:45:13 GMT", Some(0)),
            ("retry-after", "99999999", Some(86_400_000)),
            ("retry-after", "inf", None),
            ("retry-after", "soon", None),
            ("retry-after-ms", "250", Some(250)),
            ("x-other", "1", None),
        ];
        for (name, text, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(text));
            let found = retry_after(&headers, now).map(|wait| wait.as_millis());
            assert_eq!(found, expected, "{name}: {text}");
        }
    }
}
