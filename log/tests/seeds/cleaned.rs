//! Cleaned segments.

use relay_log::simulated::histories::{End, Item, Step};
use relay_log::simulated::{Aftermath, Call, Mischief};

use crate::{append, fail_with, flip, holds, keyed, put};

#[test]
fn a_tombstone_stays_while_what_came_after_it_may_yet_be_cut_off() {
    let steps = vec![
        (
            1_524_112_500,
            append([&[
                keyed(2, 4, 54),
                Item::Note(2),
                Item::Tombstone { slot: 3, key: 2 },
            ]]),
        ),
        (4_048_681_748, Step::SetLow(3, 209)),
        (1_769_585_991, Step::Sync),
        (1_795_527_164, Step::EndClean),
        (2_512_349_088, Step::Verify),
        (876_892_397, append([&[put(0, 36)]])),
        (267_308_930, Step::Sync),
        (2_282_294_789, Step::RunClean),
        (4_195_301_074, Step::DieAfter(4, End::PowerCut)),
        (2_464_342_204, Step::Sync),
        (3_086_450_758, Step::Clean),
        (2_898_850_104, Step::RunSync),
        (1_584_567_565, append([&[keyed(2, 1, 2)]])),
        (1_017_336_481, append([&[put(0, 16)]])),
        (3_719_744_586, Step::PlanClean),
        (2_200_633_088, Step::SetLow(1, 205)),
        (4_288_384_861, append([&[put(1, 252)]])),
        (704_565_746, Step::Mark),
        (304_432_928, append([&[Item::Note(3)]])),
        (2_287_338_147, append([&[put(0, 45)]])),
        (1_937_648_073, Step::BeginSync),
        (1_119_486_464, Step::Reopen(End::PowerCut)),
        (3_850_631_157, flip(5, 58_379, 3)),
        (1_950_779_558, Step::Sync),
        (3_950_890_444, flip(1, 28_775, 7)),
        (2_565_768_967, Step::Roll),
        (1_547_471_922, Step::Roll),
        (997_923_928, append([&[keyed(2, 4, 259)]])),
        (1_079_274_695, append([&[put(0, 5183)]])),
        (2_596_645_068, flip(5, 28_088, 6)),
        (3_620_779_027, append([&[keyed(2, 1, 907)]])),
        (2_602_793_111, append([&[put(1, 9194)]])),
        (2_574_833_679, append([&[put(0, 686)]])),
        (3_425_340_348, append([&[keyed(3, 4, 59)]])),
        (80_771_013, append([&[Item::Note(1)]])),
        (1_171_936_962, append([&[Item::Tombstone { slot: 3, key: 0 }]])),
        (66_882_549, Step::Clean),
        (688_057_135, flip(2, 14_236, 6)),
        (3_868_551_166, Step::Reopen(End::PowerCut)),
    ];
    holds(128, 5059, 1000, steps);
}

#[test]
fn the_lost_footer_of_a_cleaned_segment_is_not_taken_for_what_cleaning_took_away() {
    let steps = vec![
        (2_259_001_415, append([&[keyed(3, 2, 61)]])),
        (2_199_825_462, Step::Reopen(End::Kill)),
        (727_560_254, append([&[put(1, 5)]])),
        (
            320_163_828,
            append([&[put(0, 47), Item::Tombstone { slot: 2, key: 2 }, Item::Note(3)]]),
        ),
        (2_345_269_012, Step::Reopen(End::Kill)),
        (397_250_125, append([&[Item::Tombstone { slot: 2, key: 1 }]])),
        (3_571_197_213, Step::DieAfter(2, End::PowerCut)),
        (3_478_186_621, Step::Mark),
        (3_167_178_210, Step::Wait(1500)),
        (
            1_761_836_038,
            append([
                &[Item::Forged { slot: 1 }],
                &[
                    put(0, 697),
                    keyed(3, 0, 58),
                    Item::Unnote(3),
                    keyed(3, 1, 9),
                    keyed(3, 1, 98),
                    put(1, 49),
                    keyed(2, 3, 44),
                ],
            ]),
        ),
        (719_807_359, Step::DieAfter(1, End::Kill)),
        (2_312_442_977, append([&[Item::Note(2)]])),
        (1_362_340_572, Step::Clean),
        (1_917_581_720, Step::Reopen(End::PowerCut)),
        (1_207_777_175, flip(3, 50_920, 1)),
    ];
    holds(128, 2215, 1000, steps);
}

#[test]
fn a_record_that_was_lost_before_its_segment_was_cleaned_is_told_at_its_offset_ever_after() {
    let steps = vec![
        (3_958_308_697, append([&[Item::Unnote(3)]])),
        (2_511_855_611, append([&[put(0, 44)]])),
        (3_593_438_896, Step::BeginSync),
        (
            3_938_846_114,
            append([&[
                put(1, 63),
                Item::Tombstone { slot: 2, key: 1 },
                put(0, 57),
                put(0, 41),
            ]]),
        ),
        (4_200_919_375, append([&[Item::Note(1)]])),
        (1_444_418_296, Step::RunSync),
        (
            4_219_380_890,
            append([&[put(1, 48), put(1, 40)], &[keyed(2, 0, 68)]]),
        ),
        (1_659_636_184, append([&[Item::Note(2)]])),
        (1_999_076_952, Step::Reopen(End::PowerCut)),
        (2_634_925_267, append([&[put(0, 678), Item::Note(3)]])),
        (
            2_507_607_072,
            append([&[put(1, 186)], &[keyed(3, 3, 349), keyed(3, 2, 425)]]),
        ),
        (4_076_756_923, Step::Sync),
        (
            3_458_484_174,
            append([
                &[put(0, 0)],
                &[put(0, 54), Item::Note(3), put(1, 59), keyed(3, 1, 2)],
                &[keyed(2, 2, 23), put(1, 35), keyed(3, 3, 2)],
            ]),
        ),
        (2_898_657_721, Step::Clean),
        (2_829_883_611, Step::Reopen(End::PowerCut)),
        (1_473_194_820, append([&[Item::Note(2)]])),
        (4_067_623_160, append([&[keyed(2, 1, 1777)]])),
        (2_767_554_453, flip(1, 36_529, 2)),
        (
            3_081_679_526,
            append([&[keyed(2, 0, 307), put(0, 57), keyed(2, 1, 626)]]),
        ),
        (3_320_505_706, append([&[put(1, 666)]])),
        (844_094_065, Step::DieAfter(4, End::PowerCut)),
        (2_658_861_470, Step::Roll),
        (3_819_462_751, append([&[keyed(2, 0, 22)]])),
        (620_141_414, append([&[keyed(2, 0, 966)]])),
        (3_441_949_268, append([&[Item::Note(3)]])),
        (4_080_595_716, Step::Clean),
        (2_045_015_339, Step::Reopen(End::PowerCut)),
    ];
    holds(128, 1398, 1000, steps);
}

#[test]
fn a_segment_of_which_nothing_counts_goes_before_what_says_so_does() {
    let steps = vec![
        (2_242_872_453, append([&[put(0, 0), keyed(3, 3, 7), put(1, 71)]])),
        (
            1_144_103_311,
            fail_with(Call::Remove, 1, 2, Mischief::Full, Aftermath::Dropped),
        ),
        (
            2_715_627_295,
            append([&[put(0, 15), keyed(3, 1, 643), put(1, 248)]]),
        ),
        (3_499_661_565, append([&[keyed(3, 4, 6754)]])),
        (1_487_103_764, append([&[Item::Forged { slot: 2 }]])),
        (13_015_868, append([&[put(0, 62), keyed(2, 4, 25)]])),
        (2_266_813_822, Step::Clean),
        (
            2_814_930_500,
            append([&[Item::Tombstone { slot: 3, key: 3 }, put(1, 28), put(0, 24)]]),
        ),
        (4_223_333_728, Step::Sync),
        (
            3_448_691_263,
            append([&[keyed(2, 2, 38), put(1, 481), keyed(2, 4, 48)]]),
        ),
        (1_066_035_090, append([&[put(1, 45), put(1, 30)]])),
        (1_422_552_950, append([&[put(1, 49)]])),
        (
            1_765_798_560,
            append([&[keyed(3, 1, 19)], &[keyed(3, 4, 423), keyed(2, 3, 78)]]),
        ),
        (1_711_039_938, Step::Clean),
        (
            3_156_497_265,
            fail_with(Call::Sync, 1, 1, Mischief::Io, Aftermath::StillDirty),
        ),
        (1_622_708_179, Step::Mark),
        (3_702_618_408, Step::Sync),
        (
            2_736_113_579,
            fail_with(Call::Sync, 0, 1, Mischief::Io, Aftermath::Dropped),
        ),
        (3_328_312_730, append([&[keyed(3, 2, 391)]])),
        (73_753_994, Step::Sync),
        (1_024_208_020, Step::Roll),
        (
            2_338_273_830,
            append([&[put(0, 494), put(0, 20), keyed(2, 1, 0)]]),
        ),
        (4_616_913, append([&[keyed(3, 4, 34)]])),
        (2_005_929_213, append([&[put(1, 464)]])),
        (273_666_025, Step::Sync),
        (2_655_489_442, append([&[put(0, 45)]])),
        (1_120_061_987, Step::Clean),
    ];
    holds(128, 4134, 3, steps);
}

#[test]
fn what_a_segment_that_was_let_go_held_is_not_taken_for_what_is_lost_at_the_end_of_the_one_before() {
    let steps = vec![
        (3_646_064_882, append([&[keyed(2, 1, 0), put(1, 2396)]])),
        (655_027_528, Step::Roll),
        (3_857_431_906, append([&[put(1, 71)]])),
        (4_158_430_068, Step::Sync),
        (
            1_841_063_529,
            append([&[Item::Tombstone { slot: 2, key: 4 }], &[keyed(3, 0, 55)]]),
        ),
        (3_321_556_988, Step::Reopen(End::Kill)),
        (1_894_423_519, Step::DieAfter(6, End::Kill)),
        (1_846_033_178, Step::Mark),
        (1_242_543_978, append([&[Item::Tombstone { slot: 3, key: 4 }]])),
        (189_784_702, append([&[put(1, 39)], &[Item::Forged { slot: 1 }]])),
        (1_114_820_854, Step::DieAfter(0, End::Kill)),
        (1_912_962_597, Step::SetLow(1, 157)),
        (4_128_840_394, flip(4, 62_589, 7)),
        (1_325_944_070, append([&[Item::Note(1)]])),
        (
            2_144_753_987,
            fail_with(Call::Create, 0, 2, Mischief::Io, Aftermath::Dropped),
        ),
        (4_030_830_555, Step::Clean),
    ];
    holds(128, 6121, 1000, steps);
}
