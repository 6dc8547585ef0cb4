//! What a failed call left behind.

use relay_log::simulated::histories::{End, Item, Step};
use relay_log::simulated::{Aftermath, Call, Mischief};

use crate::{append, fail_with, holds, keyed, put};

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
