//! Time, as everything in Relay reads it: a [`Clock`] is handed down, and nothing else asks the system.
//!
//! A clock tells two things that must not be mixed. The *instant* only measures what has passed in this process: it never
//! steps back, and a wall clock that is set does not move it. The *timestamp* says when in the world something happened: it
//! goes into records and deadlines, and may step. Tests and simulations hand a clock of their own down instead.

#![expect(clippy::disallowed_methods, reason = "the one place that asks the system")]

mod grace;
mod steps;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use relay_schemas::TimestampMs;

pub use grace::Grace;
pub use steps::Steps;

/// Tells the time. Cheap to clone; all clones agree.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(ManualClock),
}

impl Clock {
    /// The system's own clocks.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that begins at `start` and moves only when its [`ManualClock`] is told to.
    pub fn manual(start: TimestampMs) -> (Self, ManualClock) {
        let manual = ManualClock(Arc::new(Mutex::new(Hands {
            timestamp: start,
            instant: Instant::now(),
        })));
        (Self(Source::Manual(manual.clone())), manual)
    }

    /// When it is, in milliseconds since 1970. May step: for records and deadlines.
    pub fn now(&self) -> TimestampMs {
        match &self.0 {
            Source::System => system_timestamp(),
            Source::Manual(manual) => manual.0.lock().timestamp,
        }
    }

    /// A point on the monotonic clock. Never steps: for how long something takes.
    pub fn instant(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.0.lock().instant,
        }
    }

    /// What has passed since `earlier`; zero if it lies ahead.
    pub fn since(&self, earlier: Instant) -> Duration {
        self.instant().saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock(system)",
            Source::Manual(_) => "Clock(manual)",
        })
    }
}

/// Moves a manual [`Clock`].
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

struct Hands {
    timestamp: TimestampMs,
    instant: Instant,
}

impl ManualClock {
    /// Lets `duration` pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.0.lock();
        hands.instant += duration;
        hands.timestamp = hands.timestamp.plus_ms(millis(duration));
    }

    /// Sets the wall clock, as an administrator or NTP does: the monotonic clock does not notice.
    pub fn step_to(&self, timestamp: TimestampMs) {
        self.0.lock().timestamp = timestamp;
    }
}

/// A system clock before 1970 is read as 1970.
fn system_timestamp() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(millis(since))
}

/// Whole milliseconds, as timestamps count them; what is longer than can be counted is for ever.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_all_clones_agree() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000));
        let (other, began) = (clock.clone(), clock.instant());
        hands.advance(Duration::from_millis(250));
        assert_eq!(clock.now(), TimestampMs(1_250));
        assert_eq!(other.since(began), Duration::from_millis(250));
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_no_instant() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000));
        let began = clock.instant();
        hands.step_to(TimestampMs(500));
        assert_eq!(clock.now(), TimestampMs(500));
        assert_eq!(clock.since(began), Duration::ZERO);
    }

    #[test]
    fn the_system_clock_tells_this_century() {
        let clock = Clock::system();
        assert!(clock.now() > TimestampMs(1_600_000_000_000));
        assert!(clock.since(clock.instant()) < Duration::from_secs(60));
    }
}
