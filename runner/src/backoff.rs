//! How long to wait before the next try. Pure.

use std::time::Duration;

/// Doubles from `base` with every failed try up to `max`; `random` spreads it over the upper half, so that many do not come
/// back at once.
pub fn backoff(base: Duration, max: Duration, failed: u32, random: u32) -> Duration {
    let doubled = base.saturating_mul(1_u32 << failed.saturating_sub(1).min(20));
    let capped = doubled.min(max);
    capped / 2 + (capped / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_stays_in_the_upper_half() {
        let (base, max) = (Duration::from_millis(50), Duration::from_secs(2));
        for (failed, whole_ms) in [
            (1, 50),
            (2, 100),
            (3, 200),
            (6, 1_600),
            (7, 2_000),
            (4_000, 2_000),
        ] {
            let whole = Duration::from_millis(whole_ms);
            assert_eq!(backoff(base, max, failed, u32::MAX), whole);
            assert_eq!(backoff(base, max, failed, 0), whole / 2);
        }
    }
}
