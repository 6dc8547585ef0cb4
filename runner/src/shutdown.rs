//! The steps to the end of a service, and the plan of a drain: which service of a process takes which step when.
//!
//! A drain ends services in the order of the flow, each after those that need it: whatever a client here still waits for finds all of
//! the way that it has to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// After its time is up, how long a drain goes on for clients to be told, and once more for all else to let go.
const LAST: Duration = Duration::from_secs(1);

/// What a service is to do, from work to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainStep {
    /// Its work, as ever.
    Work,
    /// Its work, and to tell whoever chooses between instances to choose another one.
    LameDuck,
    /// To take nothing new, finish what runs, commit and leave.
    Drain,
    /// To end at once, and to tell whoever waits for what is cut.
    Stop,
}

/// How long the steps of a drain take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainPlan {
    /// From the first signal until what has not finished is cut.
    pub timeout: Duration,
    /// Of these, how long the first service in the flow goes on as a lame duck.
    pub lame_duck: Duration,
}

impl DrainPlan {
    /// The step of a service that still runs, `since` the drain began. `is_next`: what needs it has ended. `tells_clients`: what it
    /// cuts, others hear from it, and its end leaves time for that.
    pub fn step(self, is_next: bool, tells_clients: bool, since: Duration) -> DrainStep {
        let cut_after = if tells_clients {
            self.timeout
        } else {
            self.timeout.saturating_add(LAST)
        };
        if since >= cut_after {
            DrainStep::Stop
        } else if !is_next {
            DrainStep::Work
        } else if since < self.lame_duck {
            DrainStep::LameDuck
        } else {
            DrainStep::Drain
        }
    }

    /// Whether whatever still runs is left behind.
    pub fn is_over(self, since: Duration) -> bool {
        since >= self.ends().into_iter().max().unwrap_or_default()
    }

    /// When a step may change, if nothing ends until then.
    pub fn next_look(self, since: Duration) -> Option<Duration> {
        let ends = self.ends().into_iter().chain([self.lame_duck]);
        ends.filter(|at| *at > since).min()
    }

    fn ends(self) -> [Duration; 3] {
        [0, 1, 2].map(|times| self.timeout.saturating_add(LAST * times))
    }
}

/// The steps of one service, as it hears of them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// The whole process ends; shared by its services.
    end: CancellationToken,
    lame_duck: CancellationToken,
    drain: CancellationToken,
    stop: CancellationToken,
    /// How much was cut in this process.
    cut: Arc<AtomicU64>,
}

impl Shutdown {
    /// The steps of one more service of this process. It drains and stops with the process at the latest.
    #[must_use]
    pub fn of_service(&self) -> Self {
        Self {
            end: self.end.clone(),
            lame_duck: self.lame_duck.child_token(),
            drain: self.drain.child_token(),
            stop: self.stop.child_token(),
            cut: Arc::clone(&self.cut),
        }
    }

    /// Says that the process is to end; each of its services is told in its turn.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// Asks to take this step, and with it those before it. None is taken back.
    pub fn take(&self, step: DrainStep) {
        if step >= DrainStep::LameDuck {
            self.end.cancel();
            self.lame_duck.cancel();
        }
        if step >= DrainStep::Drain {
            self.drain.cancel();
        }
        if step >= DrainStep::Stop {
            self.stop.cancel();
        }
    }

    /// Asks to take nothing new.
    pub fn drain(&self) {
        self.take(DrainStep::Drain);
    }

    /// Asks to end at once.
    pub fn stop(&self) {
        self.take(DrainStep::Stop);
    }

    /// Completes once the process is to end.
    pub async fn ending(&self) {
        self.end.cancelled().await;
    }

    /// Whether the process is to end.
    pub fn is_ending(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Completes once others should be chosen instead.
    pub async fn lame_duck(&self) {
        self.lame_duck.cancelled().await;
    }

    /// Whether others should be chosen instead.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck.is_cancelled()
    }

    /// Completes once draining begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Completes once the end is due at once.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the end is due at once.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// So much that had begun was not finished.
    pub fn cut(&self, count: usize) {
        self.cut.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How much was cut in this process.
    pub fn count_cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: DrainPlan = DrainPlan {
        timeout: Duration::from_secs(20),
        lame_duck: Duration::from_secs(5),
    };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_service_drains_once_what_needs_it_has_ended_and_the_first_is_a_lame_duck_before() {
        use DrainStep::{Drain, LameDuck, Stop, Work};
        let table = [
            (0, LameDuck, Work),
            (4_999, LameDuck, Work),
            (5_000, Drain, Work),
            (19_999, Drain, Work),
            (20_000, Stop, Work),
            (21_000, Stop, Stop),
        ];
        for (ms, of_first, of_others) in table {
            assert_eq!(PLAN.step(true, true, at(ms)), of_first, "the first after {ms} ms");
            assert_eq!(PLAN.step(false, false, at(ms)), of_others, "others after {ms} ms");
        }
        assert_eq!(PLAN.step(true, false, at(20_500)), Drain, "it has what is left");
    }

    #[test]
    fn a_drain_is_looked_at_when_a_step_is_due_and_is_over_two_seconds_after_its_time() {
        let looks = [
            (0, Some(5_000)),
            (5_000, Some(20_000)),
            (20_000, Some(21_000)),
            (21_500, Some(22_000)),
            (22_000, None),
        ];
        for (since, next) in looks {
            assert_eq!(PLAN.next_look(at(since)), next.map(at), "after {since} ms");
        }
        assert_eq!(
            (PLAN.is_over(at(21_999)), PLAN.is_over(at(22_000))),
            (false, true)
        );
    }

    #[test]
    fn without_time_everything_is_cut_at_once_and_clients_are_told() {
        let plan = DrainPlan {
            timeout: Duration::ZERO,
            lame_duck: Duration::ZERO,
        };
        assert_eq!(plan.step(true, true, Duration::ZERO), DrainStep::Stop);
        assert!(!plan.is_over(Duration::ZERO));
    }

    #[test]
    fn a_service_drains_by_itself_and_ends_with_its_process() {
        let process = Shutdown::default();
        let (first, second) = (process.of_service(), process.of_service());
        first.drain();
        assert!(
            second.is_ending() && process.is_ending(),
            "all know that the end comes"
        );
        assert!(!second.is_lame_duck() && !second.is_draining() && !process.is_draining());
        process.stop();
        assert!(second.is_lame_duck() && second.is_draining() && second.is_stopped());
        second.cut(2);
        assert_eq!(process.count_cut(), 2);
    }
}
