//! Entries whose heads are lost, and what names them.

use relay_log::simulated::histories::{End, Item, Step};
use relay_log::simulated::{Aftermath, Call, Mischief};

use crate::{append, fail_with, flip, holds, keyed, put};

#[test]
fn a_lost_entry_is_not_taken_for_a_record_that_an_earlier_segment_held() {
    let steps = vec![
        (2_028_904_332, append([&[keyed(2, 4, 6074), keyed(2, 1, 21)]])),
        (1_223_645_504, Step::Sync),
        (3_670_492_753, append([&[Item::Note(3)]])),
        (769_941_277, Step::Sync),
        (1_557_318_817, Step::Reopen(End::PowerCut)),
        (694_654_292, append([&[keyed(3, 2, 35)]])),
        (3_080_738_737, append([&[Item::Note(1)], &[keyed(2, 1, 54)]])),
        (3_785_650_775, Step::Verify),
        (2_033_794_320, Step::Reopen(End::Kill)),
        (3_995_589_836, Step::Sync),
        (1_895_871_046, Step::Sync),
        (824_647_825, append([&[Item::Note(0)]])),
        (372_341_366, Step::Sync),
        (3_313_903_983, Step::BeginSync),
        (2_671_793_890, Step::DieAfter(8, End::PowerCut)),
        (2_251_834_107, append([&[Item::Unnote(2)]])),
        (143_773_886, Step::SetLow(3, 245)),
        (2_677_770_023, Step::Mark),
        (1_436_143_946, Step::Roll),
        (4_207_400_542, Step::EndClean),
        (3_410_776_843, Step::EndSync),
        (1_045_856_139, Step::Sync),
        (3_225_030_048, flip(2, 28_064, 5)),
        (2_066_952_495, Step::Reopen(End::PowerCut)),
        (2_473_816_232, append([&[put(1, 616)]])),
        (2_413_318_766, Step::Evict),
        (2_836_711_884, append([&[put(1, 4948)]])),
        (2_535_626_790, flip(2, 42_027, 5)),
        (1_285_055_274, Step::Sync),
        (867_924_434, append([&[Item::Forged { slot: 3 }]])),
        (450_937_480, Step::SetLow(2, 96)),
        (3_281_218_765, append([&[Item::Note(3)]])),
        (1_145_066_399, Step::Reopen(End::PowerCut)),
        (3_891_050_174, append([&[put(0, 39)]])),
        (3_115_791_690, append([&[put(0, 8)]])),
        (91_800_612, Step::Verify),
        (4_008_852_255, append([&[Item::Note(1)]])),
        (4_026_113_097, Step::Clean),
    ];
    holds(512, 6840, 1000, steps);
}

#[test]
fn what_is_lost_at_the_end_of_a_segment_is_named_although_a_failed_sync_lost_more_before() {
    let steps = vec![
        (
            198_391_298,
            fail_with(Call::Sync, 0, 2, Mischief::Io, Aftermath::Dropped),
        ),
        (1_146_191_126, append([&[put(0, 9)]])),
        (1_277_297_475, Step::Clean),
        (1_816_087_610, Step::Mend(false)),
        (
            1_600_899_548,
            fail_with(Call::Sync, 3, 2, Mischief::Io, Aftermath::MarkedClean),
        ),
        (2_282_443_846, append([&[keyed(2, 0, 52)]])),
        (1_479_851_028, Step::BeginSync),
        (3_127_331_872, append([&[put(0, 38)]])),
        (2_333_772_356, Step::Sync),
        (
            2_994_595_605,
            append([&[
                Item::Forged { slot: 2 },
                put(0, 61),
                Item::Tombstone { slot: 2, key: 3 },
                keyed(2, 4, 446),
            ]]),
        ),
        (2_696_391_303, append([&[keyed(2, 2, 26), keyed(2, 3, 62)]])),
        (135_683_822, Step::Sync),
        (4_171_710_794, Step::Mend(false)),
        (580_898_837, flip(1, 61_598, 4)),
    ];
    holds(64, 2857, 6, steps);
}

#[test]
fn a_lost_entry_is_named_although_a_failed_sync_lost_what_followed_and_a_restart_wrote_that_again() {
    let steps = vec![
        (
            2_263_960_808,
            append([&[keyed(2, 2, 376), Item::Note(0), Item::Note(0), put(1, 47)]]),
        ),
        (1_618_728_425, append([&[keyed(3, 0, 72)]])),
        (868_800_501, Step::Sync),
        (
            114_428_953,
            fail_with(Call::Sync, 0, 1, Mischief::Io, Aftermath::Dropped),
        ),
        (
            2_047_532_517,
            append([&[keyed(3, 3, 73)], &[put(1, 68), keyed(3, 1, 3), keyed(3, 3, 48)]]),
        ),
        (3_247_911_700, append([&[Item::Note(3)]])),
        (442_859_136, Step::Sync),
        (159_559_986, Step::Reopen(End::Kill)),
        (2_727_105_489, append([&[keyed(3, 4, 386)], &[put(0, 201)]])),
        (3_402_079_893, append([&[put(1, 12)]])),
        (2_429_593_609, Step::Sync),
        (2_723_491_168, append([&[keyed(2, 2, 45)]])),
        (2_026_749_505, Step::Reopen(End::PowerCut)),
        (3_191_968_288, flip(4, 44_374, 1)),
    ];
    holds(128, 900, 7, steps);
}
