//! What the disk does not give back.

use relay_log::simulated::histories::{End, Item, Step};
use relay_log::simulated::{Aftermath, Call, Mischief};

use crate::{append, fail_with, holds, put};

#[test]
fn a_segment_whose_head_the_disk_does_not_give_back_is_no_reason_to_show_what_was_written_again_twice() {
    let steps = vec![
        (766_113_750, append([&[put(1, 5)]])),
        (10_862_579, Step::Sync),
        (1_424_195_469, Step::Reopen(End::PowerCut)),
        (
            1_371_677_593,
            fail_with(Call::Read, 3, 40, Mischief::Io, Aftermath::StillDirty),
        ),
        (3_022_412_940, Step::Reopen(End::PowerCut)),
    ];
    holds(128, 7992, 1000, steps);
}

#[test]
fn what_was_acknowledged_is_not_cut_off_because_a_head_before_it_cannot_be_read() {
    let steps = vec![
        (60_978_871, append([&[Item::Note(3)]])),
        (1_581_704_246, Step::Reopen(End::Kill)),
        (3_379_900_405, append([&[put(0, 51)]])),
        (
            659_228_369,
            fail_with(Call::Read, 3, 40, Mischief::Io, Aftermath::Dropped),
        ),
        (2_214_080_133, Step::Sync),
        (3_602_155_588, Step::Read(2, 124)),
        (359_574_875, Step::Reopen(End::PowerCut)),
        (2_135_709_519, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 6543, 5, steps);
}
