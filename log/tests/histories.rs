//! Histories of the log on a disk that does what disks do; a million with `make simulate`.

use relay_log::simulated::histories::{History, Sabotage, run};

/// The log panics inside [`run`], which says so; nothing of it is to be printed.
fn wrong(seed: u64, sabotage: Option<Sabotage>) -> Option<String> {
    run(&History::of(seed), sabotage, false).wrong.into_iter().next()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_damaged_is_silent_whatever_the_disk_does() {
    for seed in 0..3_000 {
        let wrong = wrong(seed, None);
        assert_eq!(
            wrong, None,
            "`make simulate ARGS='--log --seed {seed}'` explains seed {seed}"
        );
    }
}

#[test]
fn seeds_that_once_failed_hold() {
    for seed in [
        293, 407, 551, 1_326, 1_941, 2_069, 2_401, 2_413, 2_476, 3_494, 3_636, 3_680, 3_895, 4_428, 5_470,
        6_239, 6_474, 6_818, 7_163, 7_424, 7_548, 7_806, 7_850, 8_052, 8_295, 9_438, 14_428, 14_656, 14_753,
        19_665, 20_036, 23_315, 24_393, 28_437, 28_631, 28_861, 30_191, 33_781, 35_213, 36_107, 41_908,
        45_479, 49_363, 53_267, 56_862, 58_062, 60_130, 61_164, 85_520, 98_036, 103_044, 108_003, 120_725,
        121_471, 139_720, 14_497, 36_900, 47_853, 55_552, 57_274, 59_767, 66_244, 84_924, 112_482, 115_627,
        121_176, 125_131, 155_310, 170_425, 210_153, 214_479, 215_507, 220_092, 225_278, 234_934, 247_831,
        257_655, 258_111, 268_491, 280_359, 292_123, 293_934, 295_792, 333_535, 334_994, 335_182, 340_120,
        372_781, 398_175, 463_064, 556_050, 609_927, 637_510, 648_714, 651_043, 653_534, 653_664, 659_184,
        667_212, 667_297, 668_342, 681_225, 686_995, 689_562, 695_686, 705_501, 714_511, 726_152, 729_511,
        742_251, 754_692, 754_995, 758_901, 759_838, 760_099, 761_000, 763_965, 765_042, 765_106, 751_222,
        781_338, 797_600, 798_509, 808_657, 576_528, 706_267, 1_137_089, 1_144_111, 1_150_306, 1_157_635,
        1_195_320, 1_219_717, 1_289_995, 386_437, 482_128, 1_255_848, 1_340_592, 2_055_742, 2_135_526,
        84_302, 719_193, 785_674, 757_194, 2_019_227, 2_223_989, 2_352_181, 2_393_575, 2_401_072,
    ] {
        assert_eq!(wrong(seed, None), None, "seed {seed}");
    }
}

/// The histories can fail: a careless log is noticed within so many of them.
#[test]
fn carelessness_is_noticed_within_a_stated_number_of_histories() {
    for (sabotage, within) in [
        (Sabotage::NoFolderSync, 100),
        (Sabotage::WrongFile, 100),
        (Sabotage::NoLengthChecksum, 1_000),
        (Sabotage::AcknowledgeBeforeSync, 100),
    ] {
        let noticed = (0..within).find(|seed| wrong(*seed, Some(sabotage)).is_some());
        assert!(
            noticed.is_some(),
            "{sabotage:?} goes unnoticed in {within} histories"
        );
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    // The order of maps decided in the last one.
    for seed in (0..20).chain([36_900]) {
        let first = run(&History::of(seed), None, true).told;
        for _ in 0..10 {
            assert_eq!(run(&History::of(seed), None, true).told, first, "seed {seed}");
        }
    }
}
