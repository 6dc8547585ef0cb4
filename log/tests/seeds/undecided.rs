//! What a failed call left behind.

use relay_log::simulated::histories::{End, Item, Step};
use relay_log::simulated::{Aftermath, Call, Mischief};

use crate::{append, fail_with, flip, holds, keyed, put};

#[test]
fn a_segment_that_was_made_and_never_written_to_is_never_missed() {
    let steps = vec![
        (4_266_777_406, append([&[Item::Note(0)]])),
        (
            2_938_323_322,
            fail_with(Call::Sync, 3, 1, Mischief::Io, Aftermath::StillDirty),
        ),
        (3_258_023_326, Step::Clean),
        (3_016_261_353, append([&[keyed(2, 2, 273)]])),
        (1_083_334_247, Step::Reopen(End::PowerCut)),
        (312_281_988, append([&[Item::Forged { slot: 0 }]])),
        (
            471_741_997,
            fail_with(Call::Remove, 3, 5, Mischief::Io, Aftermath::StillDirty),
        ),
        (3_520_094_870, Step::Sync),
        (3_756_511_545, Step::DieAfter(10, End::PowerCut)),
        (934_072_255, Step::Verify),
        (3_388_438_880, append([&[keyed(2, 0, 5739)]])),
        (2_541_529_877, append([&[put(1, 90), Item::Forged { slot: 0 }]])),
        (
            3_451_023_328,
            append([&[keyed(2, 1, 8), Item::Tombstone { slot: 3, key: 4 }]]),
        ),
        (
            95_249_954,
            fail_with(Call::Write, 1, 40, Mischief::Io, Aftermath::MarkedClean),
        ),
        (794_268_449, Step::PlanClean),
        (3_606_123_027, append([&[put(0, 33)]])),
        (2_754_407_837, Step::Heal),
        (2_245_117_245, Step::Clean),
        (3_789_088_360, Step::Reopen(End::Kill)),
        (
            1_715_087_056,
            append([&[Item::Forged { slot: 2 }, keyed(2, 1, 0)]]),
        ),
    ];
    holds(128, 3854, 4, steps);
}

#[test]
fn the_front_of_a_segment_that_a_failed_sync_left_in_memory_alone_is_written_once_more() {
    let steps = vec![
        (
            3_595_581_560,
            fail_with(Call::Sync, 0, 1, Mischief::Full, Aftermath::StillDirty),
        ),
        (3_517_325_440, append([&[Item::Unnote(0)]])),
        (3_787_665, append([&[put(1, 24), Item::Note(2)]])),
        (
            3_428_229,
            fail_with(Call::Sync, 3, 1, Mischief::Io, Aftermath::Dropped),
        ),
        (3_324_037_268, append([&[put(1, 2861)]])),
        (3_838_936_474, Step::Sync),
        (
            25_172_926,
            append([&[
                put(1, 39),
                put(1, 2),
                put(0, 75),
                Item::Tombstone { slot: 2, key: 4 },
            ]]),
        ),
        (2_199_146_577, Step::Reopen(End::Kill)),
        (2_110_864_045, append([&[Item::Forged { slot: 3 }]])),
        (4_289_793_739, append([&[put(1, 48)]])),
        (989_289_626, Step::Sync),
        (1_694_279_733, Step::Roll),
        (
            2_424_534_135,
            fail_with(Call::Sync, 1, 2, Mischief::Io, Aftermath::MarkedClean),
        ),
        (3_417_147_206, append([&[keyed(3, 1, 7784)]])),
        (4_168_646_771, append([&[put(0, 0)]])),
        (2_628_730_048, Step::Reopen(End::PowerCut)),
        (3_128_996_263, Step::Sync),
        (1_057_234_332, Step::Reopen(End::Kill)),
    ];
    holds(64, 3976, 5, steps);
}

#[test]
fn what_is_written_again_is_not_taken_from_a_segment_of_which_nothing_counts() {
    let steps = vec![
        (823_870_124, append([&[put(1, 565)]])),
        (3_289_319_239, append([&[put(1, 41)]])),
        (
            2_783_147_854,
            append([
                &[keyed(3, 0, 75)],
                &[Item::Tombstone { slot: 3, key: 1 }],
                &[Item::Forged { slot: 3 }],
                &[Item::Unnote(0)],
            ]),
        ),
        (
            3_041_375_645,
            append([
                &[
                    put(1, 70),
                    Item::Note(3),
                    keyed(3, 4, 29),
                    put(1, 1),
                    put(1, 20),
                    put(0, 51),
                    keyed(2, 2, 8),
                    keyed(2, 3, 57),
                    Item::Note(1),
                    Item::Note(0),
                    keyed(3, 3, 28),
                ],
                &[keyed(3, 4, 40)],
                &[put(1, 64)],
            ]),
        ),
        (
            2_850_058_401,
            append([
                &[
                    put(1, 69),
                    put(0, 39),
                    Item::Forged { slot: 1 },
                    put(1, 0),
                    Item::Note(1),
                    keyed(2, 0, 71),
                    keyed(2, 3, 1685),
                    Item::Note(1),
                ],
                &[keyed(2, 1, 118)],
            ]),
        ),
        (427_125_009, Step::Sync),
        (659_347_329, append([&[Item::Unnote(3)]])),
        (
            3_182_275_741,
            fail_with(Call::Sync, 2, 40, Mischief::Io, Aftermath::Dropped),
        ),
        (
            2_929_984_906,
            append([&[Item::Unnote(3), put(0, 51), keyed(3, 4, 78), keyed(2, 1, 16)]]),
        ),
        (1_292_590_264, Step::Reopen(End::PowerCut)),
        (1_304_242_076, Step::DieAfter(10, End::PowerCut)),
        (345_478_343, append([&[Item::Note(2)]])),
        (1_843_408_515, Step::Heal),
        (2_117_478_339, Step::DieAfter(1, End::PowerCut)),
        (2_543_685_010, append([&[Item::Note(1)]])),
        (1_504_027_895, Step::Sync),
        (1_645_084_391, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 1317, 1000, steps);
}

#[test]
fn a_segment_whose_footer_is_the_last_that_is_proven_is_not_abandoned_before_its_last_bytes() {
    let steps = vec![
        (3_163_543_249, append([&[keyed(3, 2, 50), put(1, 68)]])),
        (583_938_534, Step::Sync),
        (2_780_108_717, Step::DieAfter(1, End::PowerCut)),
        (514_701_148, append([&[Item::Forged { slot: 1 }]])),
        (232_529_929, append([&[put(0, 415)], &[keyed(2, 1, 404)]])),
        (2_311_594_973, append([&[put(1, 705), put(0, 42)]])),
        (280_075_973, append([&[keyed(3, 4, 33)]])),
        (814_202_169, flip(3, 55_126, 3)),
        (1_341_304_733, Step::Clean),
        (3_504_900_279, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 1133, 1000, steps);
}

#[test]
fn a_batch_of_unknown_result_that_changed_nothing_has_its_number_all_the_same() {
    let steps = vec![
        (1_852_800_081, Step::DieAfter(5, End::Kill)),
        (4_059_460_359, append([&[put(0, 691)]])),
        (2_136_325_959, Step::Clean),
        (1_746_632_872, flip(2, 6480, 6)),
        (4_224_075_020, Step::RunSync),
        (211_386_770, Step::Mark),
        (
            2_652_858_620,
            append([
                &[put(1, 29)],
                &[Item::Unnote(2)],
                &[
                    Item::Unnote(0),
                    put(0, 61),
                    Item::Forged { slot: 2 },
                    keyed(2, 2, 0),
                    Item::Unnote(0),
                    put(1, 25),
                    put(1, 77),
                    keyed(2, 3, 19),
                    Item::Tombstone { slot: 2, key: 1 },
                    Item::Note(0),
                    Item::Forged { slot: 1 },
                ],
            ]),
        ),
        (
            253_340_710,
            append([
                &[keyed(2, 4, 39), keyed(3, 1, 32)],
                &[put(0, 3)],
                &[Item::Unnote(0)],
            ]),
        ),
        (
            1_992_245_483,
            append([&[Item::Forged { slot: 3 }, keyed(2, 4, 12), keyed(3, 4, 104)]]),
        ),
        (3_659_730_099, append([&[Item::Tombstone { slot: 3, key: 0 }]])),
        (2_156_463_592, Step::DieAfter(5, End::PowerCut)),
        (
            2_550_202_991,
            append([&[keyed(2, 1, 49), keyed(3, 0, 11), keyed(3, 3, 579)]]),
        ),
        (4_127_897_832, Step::Roll),
        (2_306_247_940, flip(3, 46_582, 7)),
    ];
    holds(64, 7161, 3, steps);
}

#[test]
fn what_was_cut_off_is_not_looked_for_once_the_log_wrote_on() {
    let steps = vec![
        (
            914_291_180,
            fail_with(Call::Sync, 2, 5, Mischief::Io, Aftermath::MarkedClean),
        ),
        (3_845_067_479, Step::Mark),
        (2_144_436_503, Step::Reopen(End::PowerCut)),
        (2_688_168_810, append([&[put(1, 75)]])),
        (2_647_461_515, Step::Sync),
        (2_005_963_871, Step::Reopen(End::PowerCut)),
        (2_164_024_520, Step::DieAfter(7, End::Kill)),
        (3_930_731_947, Step::Mend(false)),
        (
            2_850_723_213,
            append([
                &[Item::Forged { slot: 1 }],
                &[put(0, 5), keyed(3, 1, 20), put(1, 74), keyed(3, 0, 51)],
            ]),
        ),
    ];
    holds(128, 2385, 1000, steps);
}

#[test]
fn a_batch_that_was_not_acknowledged_and_changes_nothing_is_there_where_the_log_says_so() {
    let steps = vec![
        (1_612_845_907, append([&[put(0, 67)]])),
        (
            3_128_634_081,
            append([&[
                Item::Forged { slot: 2 },
                put(1, 58),
                Item::Tombstone { slot: 3, key: 0 },
                Item::Note(0),
            ]]),
        ),
        (2_569_173_465, append([&[Item::Note(0), Item::Note(0)]])),
        (3_864_050_973, Step::DieAfter(1, End::PowerCut)),
        (2_390_583_291, append([&[Item::Note(0)]])),
        (
            3_490_310_869,
            fail_with(Call::Write, 0, 40, Mischief::Io, Aftermath::Dropped),
        ),
        (2_214_108_871, Step::Reopen(End::PowerCut)),
        (2_858_382_993, flip(0, 12_725, 3)),
    ];
    holds(4096, 6506, 1000, steps);
}

#[test]
fn batches_that_change_nothing_and_look_torn_by_a_turned_bit_are_gone_where_the_log_s_last_number_says_so() {
    let steps = vec![
        (61_955_378, append([&[Item::Note(3), Item::Note(1)]])),
        (2_272_875_045, Step::Sync),
        (1_888_526_265, flip(0, 37_661, 5)),
        (3_216_662_929, Step::Reopen(End::Kill)),
        (
            69_539_074,
            fail_with(Call::Sync, 0, 1, Mischief::Io, Aftermath::Dropped),
        ),
        (2_307_055_036, append([&[keyed(2, 2, 1)]])),
        (1_821_245_398, Step::Sync),
    ];
    holds(128, 7582, 1000, steps);
}

#[test]
fn a_mark_that_looks_torn_by_a_turned_bit_proves_nothing_once_it_is_cut_off() {
    let steps = vec![
        (4_208_512_363, append([&[put(1, 398), Item::Unnote(0)]])),
        (3_965_212_062, Step::Sync),
        (
            2_222_431_706,
            fail_with(Call::Sync, 1, 5, Mischief::Io, Aftermath::MarkedClean),
        ),
        (2_710_396_233, Step::Mark),
        (2_843_523_856, Step::Sync),
        (3_201_829_906, append([&[put(1, 71), put(1, 67)]])),
        (4_025_947_830, Step::Sync),
        (4_044_972_662, Step::Reopen(End::Kill)),
        (3_404_438_784, flip(0, 47_974, 3)),
        (1_861_142_268, Step::Reopen(End::PowerCut)),
        (433_142_863, Step::Reopen(End::PowerCut)),
        (4_207_052_354, append([&[keyed(3, 3, 3)]])),
        (1_059_828_294, flip(0, 26_185, 0)),
        (2_516_983_970, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 6156, 1000, steps);
}
