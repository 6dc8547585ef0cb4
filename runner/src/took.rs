//! How long something took, also where it was given up.

use std::time::Instant;

use prometheus::Histogram;
use relay_clock::Clock;

/// Counts the seconds until it is dropped: what waits in vain and is given up is no less slow than what ends.
#[derive(Debug)]
#[must_use = "it counts until it is dropped"]
pub struct Took {
    seconds: Histogram,
    clock: Clock,
    began: Instant,
}

impl Took {
    /// From now on.
    pub fn of(seconds: &Histogram, clock: &Clock) -> Self {
        Self {
            seconds: seconds.clone(),
            clock: clock.clone(),
            began: clock.instant(),
        }
    }
}

impl Drop for Took {
    fn drop(&mut self) {
        self.seconds.observe(self.clock.since(self.began).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::HistogramOpts;
    use relay_schemas::TimestampMs;

    use super::*;

    #[tokio::test]
    async fn what_is_given_up_counts_with_the_time_until_then() {
        let seconds = Histogram::with_opts(HistogramOpts::new("seconds", "help")).expect("its options");
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let waiting = async {
            let _took = Took::of(&seconds, &clock);
            std::future::pending::<()>().await;
        };
        let given_up = async { manual.advance(Duration::from_secs(3)) };
        tokio::select! {
            biased;
            () = waiting => unreachable!("it never ends"),
            () = given_up => {}
        }
        assert_eq!(seconds.get_sample_count(), 1);
        assert!((seconds.get_sample_sum() - 3.0).abs() < 1e-9);
    }
}
