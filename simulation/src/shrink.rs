//! Cuts a failing schedule down.

use relay_log::simulated::shortest;

use crate::schedule::{Event, Schedule};

/// The shortest schedule found that still fails.
pub fn shrink(failing: &Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let with = |events: &[Event]| Schedule {
        seed: failing.seed,
        events: events.to_vec(),
    };
    with(&shortest(&failing.events, |events| fails(&with(events))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Actor, Op};

    #[test]
    fn only_what_is_needed_to_fail_is_left() {
        let crash = Event {
            at: 5,
            op: Op::Crash(Actor::Planner, 10),
        };
        let mut failing = Schedule::of(1);
        failing.events.extend([
            crash,
            Event {
                at: 9,
                op: Op::Slow(1),
            },
        ]);
        let shortest = shrink(&failing, |schedule| schedule.events.contains(&crash));
        assert_eq!(shortest.events, [crash]);
    }
}
