//! Cuts a failing schedule down: leaves out ever smaller parts as long as it still fails (delta debugging).

use crate::schedule::Schedule;

/// The shortest schedule found that still fails.
pub fn shrink(failing: &Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let mut best = failing.clone();
    let mut part = best.events.len().div_ceil(2);
    while part > 0 {
        let mut start = 0;
        let mut shrunk = false;
        while start < best.events.len() {
            let mut shorter = best.clone();
            shorter.events.drain(start..(start + part).min(best.events.len()));
            if fails(&shorter) {
                best = shorter;
                shrunk = true;
            } else {
                start += part;
            }
        }
        if !shrunk {
            part /= 2;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Actor, Event, What};

    #[test]
    fn only_what_is_needed_to_fail_is_left() {
        let crash = Event {
            at: 5,
            what: What::Crash(Actor::Planner, 10),
        };
        let mut failing = Schedule::of(1);
        failing.events.extend([
            crash,
            Event {
                at: 9,
                what: What::Slow(1),
            },
        ]);
        let shortest = shrink(&failing, |schedule| schedule.events.contains(&crash));
        assert_eq!(shortest.events, [crash]);
    }
}
