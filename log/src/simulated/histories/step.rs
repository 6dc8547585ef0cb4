//! What happens in a history: a list of steps that follows from a seed, prints as it would be written in a test, and can be cut down.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::simulated::{Aftermath, Call, Fault, Mischief};

/// Slots that histories write to; the last two are compacted.
pub const SLOTS: [u32; 4] = [1 << 16, 1 << 16 | 1, 2 << 16, 3 << 16];
/// Index of the first compacted one.
pub const COMPACTED: usize = 2;

/// A disk, a log and what is done to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What it is like.
    pub setting: Setting,
    /// In order. Each has a number from which chance within it follows, so that leaving one out does not change the others.
    pub steps: Vec<(u32, Step)>,
}

/// What a history's disk and log are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Bytes that reach the disk at once or not at all.
    pub page: usize,
    /// Bytes at which a segment is closed.
    pub segment_size: u64,
    /// Records at which one is closed.
    pub segment_records: u32,
}

/// What is put into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "slots are indexes into `SLOTS`, sizes bytes of the value"
)]
pub enum Item {
    Put {
        slot: usize,
        size: usize,
    },
    Keyed {
        slot: usize,
        key: u8,
        size: usize,
    },
    Tombstone {
        slot: usize,
        key: u8,
    },
    /// A record whose value is a piece of a segment, heads and all.
    Forged {
        slot: usize,
    },
    /// Changes a note.
    Note(u8),
    /// Removes a note.
    Unnote(u8),
}

/// What ends a life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As by `kill -9`.
    Kill,
    /// A loss of power.
    PowerCut,
}

/// Where a bit is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// Which of the segments, counted from the newest.
    pub segment: usize,
    /// Which part of it, of 65,536.
    pub part: u16,
    /// Which bit.
    pub bit: u8,
}

/// Something done to the log or to its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Appends batches with one call.
    Append(Vec<Vec<Item>>),
    /// Begins a sync, runs it and ends it.
    Sync,
    /// Takes a ticket.
    BeginSync,
    /// Runs it.
    RunSync,
    /// Hands it back.
    EndSync,
    /// Tries to go on after a failed sync; gives up what cannot be read, or does not.
    Mend(bool),
    /// Writes the entry that proves a sync.
    Mark,
    /// Closes the segment.
    Roll,
    /// Reads one slot from somewhere.
    Read(usize, u8),
    /// Lets go of a part, of 256, of a slot's records.
    SetLow(usize, u8),
    /// Plans a cleaning.
    PlanClean,
    /// Runs it.
    RunClean,
    /// Ends it.
    EndClean,
    /// All three, until there is nothing to clean.
    Clean,
    /// Time passes, milliseconds.
    Wait(i64),
    /// The process ends and another one opens the log.
    Reopen(End),
    /// The process ends in the call to the disk after so many, in this step or a later one.
    DieAfter(u32, End),
    /// The process ends, and so does the next one while it opens the log, in the call after so many.
    DieOpening(u32, End),
    /// Calls are going to fail.
    Fail(Fault),
    /// No call fails any more.
    Heal,
    /// The disk takes only so many bytes more.
    Fill(u64),
    /// There is room again.
    Free,
    /// A bit is turned.
    Flip(Flip),
    /// Clean pages are read from the disk again.
    Evict,
    /// Another process verifies the folder.
    Verify,
}

impl History {
    /// The history of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let setting = Setting {
            page: [64, 128, 512, 4096][random.random_range(0..4)],
            segment_size: random.random_range(600..8_000),
            segment_records: if random.random_bool(0.2) {
                random.random_range(1..8)
            } else {
                1_000
            },
        };
        let count = random.random_range(20..120);
        let taste = Taste::draw(&mut random);
        let steps = (0..count)
            .map(|_| (random.random(), taste.step(&mut random, setting)))
            .collect();
        Self { setting, steps }
    }
}

/// Which kinds of trouble a history has; few at a time, so that each is seen with little else around it.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five kinds of trouble, each there or not"
)]
struct Taste {
    crashes: bool,
    faults: bool,
    full: bool,
    flips: bool,
    cleaning: bool,
}

impl Taste {
    fn draw(random: &mut SmallRng) -> Self {
        Self {
            crashes: random.random_bool(0.85),
            faults: random.random_bool(0.4),
            full: random.random_bool(0.2),
            flips: random.random_bool(0.35),
            cleaning: random.random_bool(0.6),
        }
    }

    fn step(self, random: &mut SmallRng, setting: Setting) -> Step {
        loop {
            let number = random.random_range(0..1_000);
            let end = if random.random_bool(0.6) {
                End::PowerCut
            } else {
                End::Kill
            };
            return match number {
                0..340 => Step::Append(batches(random, setting)),
                340..450 => Step::Sync,
                450..490 => Step::BeginSync,
                490..520 => Step::RunSync,
                520..550 => Step::EndSync,
                550..570 => Step::Mend(random.random_bool(0.4)),
                570..610 => Step::Mark,
                610..625 => Step::Roll,
                625..650 => Step::Read(random.random_range(0..SLOTS.len()), random.random()),
                650..660 => Step::Wait([10, 200, 1_500][random.random_range(0..3)]),
                660..690 if self.cleaning => {
                    Step::SetLow(random.random_range(0..SLOTS.len()), random.random())
                }
                690..705 if self.cleaning => Step::PlanClean,
                705..715 if self.cleaning => Step::RunClean,
                715..725 if self.cleaning => Step::EndClean,
                725..760 if self.cleaning => Step::Clean,
                760..810 if self.crashes => Step::Reopen(end),
                810..840 if self.crashes => Step::DieAfter(random.random_range(0..12), end),
                840..850 if self.crashes => Step::DieOpening(random.random_range(0..25), end),
                850..900 if self.faults => Step::Fail(fault(random)),
                900..915 if self.faults => Step::Heal,
                915..925 if self.full => Step::Fill(random.random_range(0..3_000)),
                925..935 if self.full => Step::Free,
                935..975 if self.flips => Step::Flip(Flip {
                    segment: random.random_range(0..6),
                    part: random.random(),
                    bit: random.random_range(0..8),
                }),
                975..985 => Step::Evict,
                985..1_000 => Step::Verify,
                _ => continue,
            };
        }
    }
}

fn batches(random: &mut SmallRng, setting: Setting) -> Vec<Vec<Item>> {
    let count = if random.random_bool(0.8) {
        1
    } else {
        random.random_range(2..5)
    };
    (0..count).map(|_| batch(random, setting)).collect()
}

fn batch(random: &mut SmallRng, setting: Setting) -> Vec<Item> {
    let count = match random.random_range(0..10) {
        0..5 => 1,
        5..9 => random.random_range(1..5),
        _ => random.random_range(1..12),
    };
    (0..count).map(|_| item(random, setting)).collect()
}

fn item(random: &mut SmallRng, setting: Setting) -> Item {
    let size = match random.random_range(0..20) {
        0 => 0,
        1..14 => random.random_range(0..80),
        14..19 => random.random_range(0..700),
        _ => random.random_range(0..2 * setting.segment_size as usize),
    };
    let slot = random.random_range(0..SLOTS.len());
    match random.random_range(0..20) {
        0..4 => Item::Note(random.random_range(0..4)),
        4 => Item::Unnote(random.random_range(0..4)),
        5 => Item::Forged { slot },
        _ if slot < COMPACTED => Item::Put { slot, size },
        6..9 => Item::Tombstone {
            slot,
            key: random.random_range(0..5),
        },
        _ => Item::Keyed {
            slot,
            key: random.random_range(0..5),
            size,
        },
    }
}

fn fault(random: &mut SmallRng) -> Fault {
    // Syncs and writes are what matters most.
    let call = match random.random_range(0..10) {
        0..3 => Call::Sync,
        3..5 => Call::Write,
        _ => Call::ALL[random.random_range(0..Call::ALL.len())],
    };
    let mischief = match random.random_range(0..10) {
        0..5 => Mischief::Io,
        5..7 if call != Call::Read => Mischief::Full,
        _ if matches!(call, Call::Read | Call::Write) => Mischief::Short,
        _ => Mischief::Io,
    };
    Fault {
        call,
        after: random.random_range(0..4),
        times: [1, 1, 1, 2, 5, 40][random.random_range(0..6)],
        mischief,
        aftermath: [Aftermath::Dropped, Aftermath::MarkedClean, Aftermath::StillDirty]
            [random.random_range(0..3)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_follows_from_its_seed() {
        assert_eq!(History::of(7), History::of(7));
        assert_ne!(History::of(7), History::of(8));
    }
}
