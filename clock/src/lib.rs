//! Time, as everything in Relay reads it: a [`Clock`] is handed down, and nothing else asks the system.
//!
//! A clock tells two things that must not be mixed. What has passed in this process, as an *instant* or in *steady* milliseconds:
//! it never steps, whoever sets the wall clock. And when in the world something happened, as a *timestamp* of the wall clock: it
//! goes into records, and may step. A deadline is a length of time from the timestamp of its request ([`Clock::now_for`]), so that
//! it survives a step. Tests and simulations hand a clock of their own down instead.

#![expect(clippy::disallowed_methods, reason = "the one place that asks the system")]

#[cfg(feature = "simulated")]
mod driven;
mod grace;
#[cfg(feature = "simulated")]
mod life;
#[cfg(feature = "simulated")]
mod seed;
mod timeline;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use relay_schemas::TimestampMs;

#[cfg(feature = "simulated")]
pub use driven::Passing;
pub use grace::Grace;
#[cfg(feature = "simulated")]
pub use life::{Life, LifeState};
#[cfg(feature = "simulated")]
pub use seed::seed_of;
pub use timeline::Timeline;

/// Tells the time. Cheap to clone; all clones agree.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(ManualClock),
    #[cfg(feature = "simulated")]
    Driven(Arc<driven::Driven>),
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
            steady: start,
            instant: Instant::now(),
            timeline: Timeline::default(),
        })));
        (Self(Source::Manual(manual.clone())), manual)
    }

    /// A clock that begins at `start` and follows the time of a simulation.
    #[cfg(feature = "simulated")]
    pub fn driven(start: TimestampMs, passing: impl Passing) -> Self {
        Self(Source::Driven(Arc::new(driven::Driven::new(
            start,
            Instant::now(),
            passing,
        ))))
    }

    /// When it is, in milliseconds since 1970. May step: for records.
    pub fn now(&self) -> TimestampMs {
        match &self.0 {
            Source::System => system_timestamp(),
            Source::Manual(manual) => manual.0.lock().timestamp,
            #[cfg(feature = "simulated")]
            Source::Driven(driven) => driven.now(),
        }
    }

    /// A point on the monotonic clock. Never steps: for how long something takes.
    pub fn instant(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Manual(manual) => manual.0.lock().instant,
            #[cfg(feature = "simulated")]
            Source::Driven(driven) => driven.instant(),
        }
    }

    /// What the wall clock would say if it had not been set since the start. Never steps: for how long something takes, where that
    /// is counted in milliseconds.
    pub fn steady(&self) -> TimestampMs {
        self.read(|steady, _| steady)
    }

    /// The same, and how the wall clock was set beside it.
    pub fn timeline(&self) -> (TimestampMs, Timeline) {
        self.read(|steady, timeline| (steady, timeline.clone()))
    }

    /// When, by the steady clock, `stamp` was made by a wall clock.
    pub fn steady_of(&self, stamp: TimestampMs) -> TimestampMs {
        self.read(|steady, timeline| timeline.steady_of(stamp, steady))
    }

    /// What the wall clock that made `stamp` would say now, if it had not been set since: for what is stamped of a request after
    /// it was accepted, and against its deadline.
    pub fn now_for(&self, stamp: TimestampMs) -> TimestampMs {
        self.read(|steady, timeline| timeline.now_for(stamp, steady))
    }

    fn read<T>(&self, read: impl FnOnce(TimestampMs, &Timeline) -> T) -> T {
        match &self.0 {
            Source::System => {
                let mut system = SYSTEM.lock();
                let (wall, instant) = both();
                let passed = millis(instant.saturating_duration_since(system.began.1));
                let steady = system.began.0.plus_ms(passed);
                system.timeline.look(wall, steady);
                read(steady, &system.timeline)
            }
            Source::Manual(manual) => {
                let hands = &mut *manual.0.lock();
                hands.timeline.look(hands.timestamp, hands.steady);
                read(hands.steady, &hands.timeline)
            }
            #[cfg(feature = "simulated")]
            Source::Driven(driven) => driven.read(read),
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
            #[cfg(feature = "simulated")]
            Source::Driven(_) => "Clock(driven)",
        })
    }
}

/// Moves a manual [`Clock`].
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

struct Hands {
    timestamp: TimestampMs,
    steady: TimestampMs,
    instant: Instant,
    timeline: Timeline,
}

impl ManualClock {
    /// Lets `duration` pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.0.lock();
        hands.instant += duration;
        hands.steady = hands.steady.plus_ms(millis(duration));
        hands.timestamp = hands.timestamp.plus_ms(millis(duration));
    }

    /// Sets the wall clock, as an administrator or NTP does: the monotonic clock does not notice.
    pub fn step_to(&self, timestamp: TimestampMs) {
        self.0.lock().timestamp = timestamp;
    }
}

/// The system's clocks since this process first asked: one for all clocks of it.
struct System {
    began: (TimestampMs, Instant),
    timeline: Timeline,
}

static SYSTEM: LazyLock<Mutex<System>> = LazyLock::new(|| {
    Mutex::new(System {
        began: both(),
        timeline: Timeline::default(),
    })
});

/// Longest time between the readings of two clocks that were read at once.
const AT_ONCE: Duration = Duration::from_millis(5);
/// Most tries to read them so: where every one is interrupted, the last one counts.
const TRIES: usize = 8;

/// Both of the system's clocks at once: a thread that was interrupted between the two would take the pause for a step.
fn both() -> (TimestampMs, Instant) {
    let read = || {
        let before = Instant::now();
        (before, system_timestamp(), before.elapsed())
    };
    let mut tried = read();
    for _ in 1..TRIES {
        if tried.2 <= AT_ONCE {
            break;
        }
        tried = read();
    }
    (tried.1, tried.0)
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
        assert_eq!(clock.steady(), TimestampMs(1_000));
    }

    #[test]
    fn a_deadline_is_as_far_away_after_a_step_as_before_it() {
        for step_ms in [3_600_000, 3_000, -3_000, -3_600_000] {
            let (clock, hands) = Clock::manual(TimestampMs(10_000_000));
            let accepted_at = clock.now();
            let deadline = accepted_at.plus_ms(20_000);
            hands.advance(Duration::from_secs(15));
            assert_eq!(clock.now_for(accepted_at), clock.now());
            hands.step_to(clock.now().plus_ms(step_ms));
            let left = |clock: &Clock| deadline.since_ms(clock.now_for(accepted_at));
            assert_eq!(left(&clock), 5_000, "{step_ms}");
            hands.advance(Duration::from_secs(5));
            assert_eq!(left(&clock), 0, "{step_ms}");
            let later = clock.now();
            hands.advance(Duration::from_secs(1));
            assert_eq!(clock.now_for(later), later.plus_ms(1_000));
        }
    }

    #[test]
    fn the_system_clock_tells_this_century() {
        let clock = Clock::system();
        assert!(clock.now() > TimestampMs(1_600_000_000_000));
        assert!(clock.since(clock.instant()) < Duration::from_secs(60));
        let steady = clock.steady();
        assert!(Clock::system().steady() >= steady, "one for all clocks");
    }
}
