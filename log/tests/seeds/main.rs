//! What seeded histories found in this log: each the shortest list of steps, with the chance that it took.

mod cleaned;
mod lost;
mod undecided;
mod unread;

use relay_log::simulated::histories::{End, Flip, History, Item, Setting, Step, run};
use relay_log::simulated::{Aftermath, Call, Fault, Mischief};

fn holds(page: usize, segment_size: u64, segment_records: u32, steps: Vec<(u32, Step)>) {
    let setting = Setting {
        page,
        segment_size,
        segment_records,
    };
    let verdict = run(&History { setting, steps }, None, true);
    assert!(
        verdict.wrong.is_empty(),
        "{:?}\n{}",
        verdict.wrong,
        verdict.told.join("\n")
    );
}

fn append<const N: usize>(batches: [&[Item]; N]) -> Step {
    Step::Append(batches.iter().map(|items| items.to_vec()).collect())
}

fn put(slot: usize, size: usize) -> Item {
    Item::Put { slot, size }
}

fn keyed(slot: usize, key: u8, size: usize) -> Item {
    Item::Keyed { slot, key, size }
}

fn flip(segment: usize, part: u16, bit: u8) -> Step {
    Step::Flip(Flip { segment, part, bit })
}

fn fail(call: Call, after: u32, times: u32, aftermath: Aftermath) -> Step {
    fail_with(call, after, times, Mischief::Io, aftermath)
}

fn fail_with(call: Call, after: u32, times: u32, mischief: Mischief, aftermath: Aftermath) -> Step {
    Step::Fail(Fault {
        call,
        after,
        times,
        mischief,
        aftermath,
    })
}

#[test]
fn the_segment_before_one_that_was_torn_whole_is_written_on_and_is_never_missing() {
    let steps = vec![
        (2_919_495_793, Step::Roll),
        (2_459_054_471, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 4589, 1000, steps);
}

#[test]
fn a_mark_that_a_failed_sync_left_in_memory_alone_is_written_once_more() {
    let steps = vec![
        (2_579_854_779, fail(Call::Sync, 0, 1, Aftermath::MarkedClean)),
        (1_440_677_069, Step::Mark),
        (4_272_312_771, Step::Reopen(End::Kill)),
        (4_173_138_763, append([&[Item::Unnote(1)]])),
        (3_626_613_133, Step::Reopen(End::Kill)),
        (2_150_541_967, Step::Reopen(End::PowerCut)),
    ];
    holds(4096, 4093, 1000, steps);
}

#[test]
fn offsets_that_were_given_to_what_is_lost_without_a_name_are_never_given_again() {
    let steps = vec![
        (2_139_595_863, append([&[Item::Forged { slot: 0 }]])),
        (593_921_030, Step::Roll),
        (2_908_852_174, append([&[keyed(3, 1, 42)], &[keyed(2, 3, 676)]])),
        (2_519_360_630, append([&[keyed(2, 1, 30)]])),
        (793_304_156, append([&[Item::Note(0)]])),
        (1_988_810_937, Step::Sync),
        (887_887_483, flip(0, 62_620, 3)),
        (2_631_560_999, Step::Roll),
        (1_445_149_253, Step::DieAfter(1, End::PowerCut)),
        (4_073_481_808, Step::Wait(200)),
    ];
    holds(4096, 2490, 3, steps);
}

#[test]
fn offsets_of_what_a_failed_sync_lost_outlive_being_written_again() {
    let steps = vec![
        (1_642_067_580, append([&[keyed(3, 4, 44)]])),
        (2_705_128_412, append([&[keyed(3, 0, 0), put(1, 21)]])),
        (3_762_426_357, fail(Call::Sync, 0, 1, Aftermath::Dropped)),
        (1_471_325_969, Step::Sync),
        (2_741_250_994, Step::Reopen(End::PowerCut)),
    ];
    holds(128, 4771, 1000, steps);
}

#[test]
fn files_left_by_attempts_that_failed_do_not_keep_the_log_from_going_on() {
    let steps = vec![
        (4_103_015_322, append([&[keyed(3, 4, 37)]])),
        (
            1_406_103_736,
            fail(Call::SyncFolder, 1, 1, Aftermath::MarkedClean),
        ),
        (796_136_515, Step::Reopen(End::Kill)),
        (1_798_543_161, fail(Call::Remove, 0, 40, Aftermath::StillDirty)),
        (1_789_606_912, fail(Call::Write, 0, 5, Aftermath::MarkedClean)),
        (3_160_108_700, Step::Mend(true)),
        (4_169_976_090, Step::Mend(false)),
        (3_035_843_522, Step::Reopen(End::Kill)),
    ];
    holds(64, 6231, 1000, steps);
}

#[test]
fn a_cleaned_segment_whose_head_cannot_be_read_is_read_all_the_same() {
    let steps = vec![
        (
            2_512_903_521,
            append([&[keyed(3, 3, 64), put(0, 1675), Item::Note(1)]]),
        ),
        (
            500_631_674,
            append([&[Item::Note(0), keyed(3, 4, 13), keyed(3, 3, 649)]]),
        ),
        (2_142_847_218, Step::Sync),
        (3_994_118_885, append([&[Item::Tombstone { slot: 3, key: 4 }]])),
        (2_398_403_149, Step::Reopen(End::Kill)),
        (289_682_575, fail(Call::Sync, 0, 1, Aftermath::Dropped)),
        (
            4_230_249_196,
            append([
                &[keyed(2, 4, 12)],
                &[keyed(3, 4, 7)],
                &[Item::Note(3)],
                &[Item::Note(1), keyed(3, 0, 30), keyed(2, 3, 674), put(0, 430)],
            ]),
        ),
        (3_306_789_716, append([&[Item::Unnote(2)]])),
        (
            2_710_484_292,
            append([
                &[keyed(3, 3, 38), put(0, 304), put(1, 53)],
                &[keyed(3, 1, 72)],
                &[keyed(3, 4, 47)],
                &[keyed(3, 1, 64)],
            ]),
        ),
        (1_029_629_395, Step::Sync),
        (2_400_456_820, append([&[keyed(3, 4, 643)]])),
        (995_328_398, Step::Clean),
        (510_478_874, fail(Call::Read, 3, 40, Aftermath::StillDirty)),
        (4_082_957_445, Step::Reopen(End::PowerCut)),
    ];
    holds(64, 2197, 1000, steps);
}
