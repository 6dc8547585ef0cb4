//! What was found in the log before this one, and what its histories found in this one: each a literal list of steps, on many
//! disks that differ in what chance does.

use relay_log::simulated::histories::{End, Flip, History, Item, Setting, Step, run};
use relay_log::simulated::{Aftermath, Call, Fault, Mischief};

const SETTING: Setting = Setting {
    page: 4096,
    segment_size: 6_000,
    segment_records: 1_000,
};

/// Runs the steps where chance does `chances` different things.
fn holds(setting: Setting, steps: &[Step], chances: u32) {
    for chance in 0..chances {
        let numbered = steps.iter().zip(0..);
        let steps = numbered.map(|(step, number)| (chance * 1_000 + number, step.clone()));
        let history = History {
            setting,
            steps: steps.collect(),
        };
        let verdict = run(&history, None, true);
        assert!(
            verdict.wrong.is_empty(),
            "chance {chance}: {:?}\n{}",
            verdict.wrong,
            verdict.told.join("\n")
        );
    }
}

fn put(size: usize) -> Step {
    Step::Append(vec![vec![Item::Put { slot: 0, size }, Item::Note(1)]])
}

fn fail(call: Call, mischief: Mischief, times: u32) -> Step {
    Step::Fail(Fault {
        call,
        after: 0,
        times,
        mischief,
        aftermath: Aftermath::Dropped,
    })
}

#[test]
fn what_is_acknowledged_in_a_burst_over_many_segments_outlives_a_loss_of_power() {
    let mut steps = Vec::new();
    for _ in 0..6 {
        steps.extend([
            put(5_000),
            Step::BeginSync,
            put(5_000),
            put(5_000),
            Step::RunSync,
            put(5_000),
            Step::EndSync,
        ]);
        steps.extend([Step::SetLow(0, 128), Step::Clean]);
    }
    steps.push(Step::Reopen(End::PowerCut));
    holds(SETTING, &steps, 60);
}

#[test]
fn pages_of_the_last_batch_that_never_reached_the_disk_are_cut_off_and_the_log_opens() {
    for page in [64, 512, 4096] {
        let steps = [
            put(300),
            Step::Sync,
            put(9_000),
            put(20),
            Step::Reopen(End::PowerCut),
            put(5),
        ];
        holds(Setting { page, ..SETTING }, &steps, 100);
    }
}

#[test]
fn a_bit_turned_anywhere_leaves_every_other_acknowledged_record_readable() {
    let mut steps: Vec<Step> = (0..20).map(|_| put(30)).collect();
    steps.extend([Step::Sync, Step::Mark, Step::Sync]);
    for part in (0..65_536).step_by(89) {
        for segment in 0..2 {
            let flip = Step::Flip(Flip {
                segment,
                part: part as u16,
                bit: (part % 8) as u8,
            });
            let mut steps = steps.clone();
            steps.extend([flip, Step::Reopen(End::PowerCut), Step::Read(0, 0)]);
            holds(
                Setting {
                    segment_size: 2_000,
                    ..SETTING
                },
                &steps,
                1,
            );
        }
    }
}

#[test]
fn a_damaged_place_in_an_old_segment_does_not_keep_the_log_from_opening_again_and_again() {
    let mut steps: Vec<Step> = (0..12).map(|_| put(900)).collect();
    steps.extend([Step::Sync, Step::Mark, Step::Sync]);
    for part in [9_000, 30_000, 50_000] {
        let flip = Step::Flip(Flip {
            segment: 2,
            part,
            bit: 3,
        });
        let mut steps = steps.clone();
        steps.extend([
            flip,
            Step::Reopen(End::Kill),
            Step::Reopen(End::PowerCut),
            Step::Reopen(End::Kill),
        ]);
        holds(
            Setting {
                segment_size: 2_000,
                ..SETTING
            },
            &steps,
            5,
        );
    }
}

#[test]
fn a_full_disk_refuses_and_opens_and_the_log_goes_on_once_there_is_room() {
    for room in [0, 10, 150, 700, 2_900] {
        let full = [
            put(400),
            Step::Sync,
            Step::Fill(room),
            put(500),
            put(500),
            Step::Sync,
            put(3_000),
        ];
        let mut steps = full.to_vec();
        steps.extend([
            Step::Reopen(End::Kill),
            put(600),
            Step::Reopen(End::PowerCut),
            put(9),
            Step::Mark,
            Step::Clean,
        ]);
        steps.extend([Step::Free, put(700), Step::Sync]);
        holds(SETTING, &steps, 30);
    }
}

#[test]
fn a_failed_append_is_said_to_be_unknown_unless_nothing_of_it_can_ever_appear() {
    for mischief in [Mischief::Io, Mischief::Full] {
        for ending in [End::Kill, End::PowerCut] {
            let two = Step::Append(vec![
                vec![Item::Put { slot: 0, size: 200 }, Item::Note(1)],
                vec![Item::Put { slot: 1, size: 2_000 }],
            ]);
            let steps = [
                put(100),
                Step::Sync,
                fail(Call::SetLen, mischief, 1),
                fail(Call::Write, mischief, 1),
                two,
                put(40),
                Step::Reopen(ending),
                put(10),
            ];
            holds(Setting { page: 64, ..SETTING }, &steps, 200);
        }
    }
}

#[test]
fn a_log_that_may_open_no_more_files_refuses_and_goes_on_by_itself() {
    let steps = [
        put(5_000),
        put(5_000),
        Step::Sync,
        fail(Call::Open, Mischief::Io, 20),
        fail(Call::Create, Mischief::Io, 20),
        put(5_000),
        put(5_000),
        Step::Sync,
        Step::Read(0, 0),
        Step::Clean,
        Step::Heal,
        put(10),
        Step::Sync,
    ];
    holds(SETTING, &steps, 30);
}

#[test]
fn after_a_failed_sync_no_later_one_is_believed() {
    for aftermath in [Aftermath::Dropped, Aftermath::MarkedClean, Aftermath::StillDirty] {
        let failing = |times| {
            Step::Fail(Fault {
                call: Call::Sync,
                after: 0,
                times,
                mischief: Mischief::Io,
                aftermath,
            })
        };
        let here = [
            put(100),
            Step::Sync,
            put(900),
            failing(1),
            Step::Sync,
            put(20),
            Step::Sync,
            Step::Reopen(End::PowerCut),
        ];
        holds(Setting { page: 64, ..SETTING }, &here, 100);
        // The process that knows of it is gone, and the next one's sync says yes.
        let next = [
            put(100),
            Step::Sync,
            put(900),
            failing(4),
            Step::Sync,
            Step::Reopen(End::Kill),
            put(20),
            Step::Sync,
        ];
        let mut next = next.to_vec();
        next.push(Step::Reopen(End::PowerCut));
        holds(Setting { page: 64, ..SETTING }, &next, 100);
    }
}

#[test]
fn a_segment_goes_only_after_what_says_so_is_on_disk() {
    let steps = [
        Step::Append(vec![vec![Item::Unnote(0)]]),
        Step::Sync,
        Step::Append(vec![vec![Item::Keyed {
            slot: 3,
            key: 1,
            size: 59,
        }]]),
        Step::Reopen(End::Kill),
        Step::Append(vec![vec![Item::Note(3)]]),
        Step::Reopen(End::PowerCut),
        Step::Roll,
        Step::Fail(Fault {
            call: Call::Write,
            after: 0,
            times: 5,
            mischief: Mischief::Io,
            aftermath: Aftermath::MarkedClean,
        }),
        Step::Clean,
        Step::Verify,
        Step::Reopen(End::PowerCut),
        Step::Verify,
    ];
    holds(Setting { page: 64, ..SETTING }, &steps, 100);
}
