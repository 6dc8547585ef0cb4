//! What moves a clock that nobody moves by hand: the time of a simulation.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_schemas::TimestampMs;

use crate::{Timeline, millis};

/// What has passed where a simulation keeps the time.
pub trait Passing: Send + Sync + 'static {
    /// Since the simulation began. Never steps.
    fn passed(&self) -> Duration;

    /// By how much the wall clock of this process is ahead; negative where it is behind.
    fn wall_ahead_ms(&self) -> i64 {
        0
    }
}

pub(crate) struct Driven {
    start: TimestampMs,
    /// A real moment: only what lies between two instants can be seen.
    base: Instant,
    passing: Box<dyn Passing>,
    timeline: Mutex<Timeline>,
}

impl Driven {
    pub(crate) fn new(start: TimestampMs, base: Instant, passing: impl Passing) -> Self {
        Self {
            start,
            base,
            passing: Box::new(passing),
            timeline: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> TimestampMs {
        self.wall(self.steady())
    }

    pub(crate) fn instant(&self) -> Instant {
        self.base + self.passing.passed()
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(TimestampMs, &Timeline) -> T) -> T {
        let steady = self.steady();
        let mut timeline = self.timeline.lock();
        timeline.look(self.wall(steady), steady);
        read(steady, &timeline)
    }

    fn steady(&self) -> TimestampMs {
        self.start.plus_ms(millis(self.passing.passed()))
    }

    fn wall(&self, steady: TimestampMs) -> TimestampMs {
        steady.plus_ms(self.passing.wall_ahead_ms())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;
    use crate::Clock;

    #[derive(Clone, Default)]
    struct Hands {
        passed_ms: Arc<AtomicU64>,
        ahead_ms: Arc<AtomicI64>,
    }

    impl Passing for Hands {
        fn passed(&self) -> Duration {
            Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
        }

        fn wall_ahead_ms(&self) -> i64 {
            self.ahead_ms.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_driven_clock_tells_what_has_passed_where_it_is_driven_from() {
        let hands = Hands::default();
        let clock = Clock::driven(TimestampMs(1_000), hands.clone());
        let began = clock.instant();
        hands.passed_ms.store(250, Ordering::SeqCst);
        assert_eq!(
            (clock.now(), clock.steady()),
            (TimestampMs(1_250), TimestampMs(1_250))
        );
        assert_eq!(clock.since(began), Duration::from_millis(250));
    }

    #[test]
    fn a_wall_clock_that_is_set_beside_a_driven_one_leaves_deadlines_as_far_away_as_they_were() {
        let hands = Hands::default();
        let clock = Clock::driven(TimestampMs(1_000_000), hands.clone());
        let (accepted_at, began) = (clock.now(), clock.instant());
        assert_eq!(clock.now_for(accepted_at), accepted_at);
        hands.ahead_ms.store(-3_600_000, Ordering::SeqCst);
        assert_eq!(clock.now(), accepted_at.plus_ms(-3_600_000));
        assert_eq!((clock.steady(), clock.instant()), (accepted_at, began));
        hands.passed_ms.store(5_000, Ordering::SeqCst);
        assert_eq!(clock.now_for(accepted_at), accepted_at.plus_ms(5_000));
    }
}
