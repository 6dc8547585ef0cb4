//! Some thousands of schedules in every test run; a million with `make simulate`.

use relay_simulation::{Sabotage, Schedule, violations};

#[test]
fn every_accepted_request_ends_once_and_no_client_is_told_an_untruth() {
    for seed in 0..3_000 {
        let wrong = violations(&Schedule::of(seed), Sabotage::None);
        assert!(
            wrong.is_empty(),
            "`make simulate ARGS='--seed {seed}'` explains: {wrong:?}"
        );
    }
}

/// What failed once, in the world as it was then: a rebalance, fences that were lost, ends at the deadline, late hits, late records
/// of overtaken schedulers, runs that ended before a full successor had read them.
#[test]
fn seeds_that_once_failed_hold() {
    for seed in [
        48, 1_995, 10_908, 12_052, 68_929, 88_001, 127_216, 156_584, 159_900, 179_736, 218_443, 225_317,
        244_887, 288_701, 405_654, 437_099, 442_575, 479_567, 836_845,
    ] {
        let wrong = violations(&Schedule::of(seed), Sabotage::None);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    }
}

/// The simulation can fail: a broken rule is noticed.
#[test]
fn a_broken_rule_is_noticed() {
    for sabotage in [
        Sabotage::BelieveFinals,
        Sabotage::IgnoreLeases,
        Sabotage::LastOutcomeWins,
        Sabotage::FillFromLosers,
        Sabotage::NeverSweep,
        Sabotage::ForgetBodies,
        Sabotage::FreeKeys,
        Sabotage::TrustWallClocks,
        Sabotage::FailUnbegun,
    ] {
        let noticed = (0..3_000).any(|seed| !violations(&Schedule::of(seed), sabotage).is_empty());
        assert!(noticed, "{sabotage:?} went unnoticed");
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    let schedule = Schedule::of(7);
    let twice = [0, 1].map(|_| relay_simulation::replay(&schedule, Sabotage::None).0);
    assert_eq!(twice[0], twice[1]);
}

/// Hand-overs happen, and so does the death of a leader between the other pool's record and its own forgetting.
#[test]
fn requests_go_on_in_another_pool_and_some_are_handed_over_twice() {
    let (mut once, mut twice) = (0, 0);
    for seed in 0..600 {
        let (history, wrong) = relay_simulation::replay(&Schedule::of(seed), Sabotage::None);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
        let mut handed_over = std::collections::BTreeSet::new();
        for line in history.iter().filter(|line| line.contains("log: ready.spare[")) {
            once += 1;
            let id = line.split(' ').next_back();
            twice += u32::from(!handed_over.insert(id));
        }
    }
    assert!(
        once > 100 && twice > 0,
        "{once} hand-overs, {twice} of them again"
    );
}
