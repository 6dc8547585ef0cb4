//! The services that ship, in a simulation.

use relay_simulation::shipped::{difference, run};

#[test]
fn the_same_seed_is_the_same_run_byte_for_byte() {
    for seed in 0..12 {
        let (one, other) = (run(seed), run(seed));
        if let Some(difference) = difference(&one.trace, &other.trace) {
            panic!("seed {seed} gave two runs, which differ first in:\n{difference}");
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    assert!(difference(&run(1).trace, &run(2).trace).is_some());
}

#[test]
fn every_request_ends_once_whenever_a_scheduler_is_killed() {
    for seed in 0..12 {
        let ran = run(seed);
        assert_eq!(ran.ended_once(), 30, "seed {seed}: {:?}", ran.ends);
    }
}
