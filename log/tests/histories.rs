//! Histories of the log on a disk that does what disks do; a million with `make simulate`.

use relay_log::simulated::histories::{History, run};

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in 0..20 {
        let twice = [0, 1].map(|_| run(&History::of(seed), None, true).told);
        assert_eq!(twice[0], twice[1], "seed {seed}");
    }
}
