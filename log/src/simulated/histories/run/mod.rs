//! Does the steps of a history, and holds the log against the model after each.
//!
//! `append`, `sync` and `clean` drive the log, `reopen` ends the process and opens the log again, `flip` turns bits.

mod append;
mod clean;
mod flip;
mod reopen;
mod sync;

use std::io;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use super::coverage::Coverage;
use super::look;
use super::model::{Excuse, Model};
use super::step::{End, History, Item, SLOTS, Setting, Step};
use crate::simulated::{Call, Neglect, SimulatedDisk};
use crate::{CleanPlan, Cleaned, Found, Log, Options, Slot, Ticket};

/// What a careless log would do; the histories must notice each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// Folders are not synced.
    NoFolderSync,
    /// A sync goes to another file.
    WrongFile,
    /// The checksum of a head does not cover the lengths.
    NoLengthChecksum,
    /// What was written is said to be on disk.
    AcknowledgeBeforeSync,
}

/// What came of a history.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What does not hold; the history ends at the first step after which something does not.
    pub wrong: Vec<String>,
    /// What happened, a line a step.
    pub told: Vec<String>,
    /// Which faults met which outcomes.
    pub coverage: Coverage,
}

/// Runs a history to its end, and then lets the log show that it goes on by itself once the faults are over.
pub fn run(history: &History, sabotage: Option<Sabotage>, tell: bool) -> Verdict {
    let mut run = Run::new(history.setting, sabotage, tell);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| run.all(&history.steps)));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        run.verdict.wrong.push(format!("the log panicked: {text}"));
    }
    run.verdict
}

/// A history on its way.
pub(super) struct Run {
    disk: SimulatedDisk,
    log: Option<Log<SimulatedDisk>>,
    model: Model,
    now: i64,
    salt: u32,
    verdict: Verdict,
    sabotage: Option<Sabotage>,
    /// How the process ends that dies in a call.
    death: End,
    /// How the next process ends while it opens the log, and after how many calls.
    dies_opening: Option<(u32, End)>,
    setting: Setting,
    ticket: Option<(Ticket<SimulatedDisk>, Option<io::Result<()>>)>,
    cleaning: Option<Cleaning>,
    counter: u64,
    tell: bool,
}

/// A cleaning on its way.
enum Cleaning {
    Planned(CleanPlan<SimulatedDisk>),
    Ran(io::Result<Cleaned<SimulatedDisk>>),
}

impl Run {
    fn new(setting: Setting, sabotage: Option<Sabotage>, tell: bool) -> Self {
        let disk = SimulatedDisk::new(0, setting.page);
        match sabotage {
            Some(Sabotage::NoFolderSync) => disk.neglect(Neglect::FolderSync),
            Some(Sabotage::WrongFile) => disk.neglect(Neglect::RightFile),
            _ => {}
        }
        Self {
            disk,
            log: None,
            model: Model::default(),
            now: 1_760_000_000_000,
            salt: 0,
            verdict: Verdict::default(),
            sabotage,
            death: End::Kill,
            dies_opening: None,
            setting,
            ticket: None,
            cleaning: None,
            counter: 0,
            tell,
        }
    }

    fn all(&mut self, steps: &[(u32, Step)]) {
        self.open(false);
        for (number, (salt, step)) in steps.iter().enumerate() {
            self.step(number, *salt, step);
            if !self.verdict.wrong.is_empty() {
                return;
            }
        }
        self.recover();
    }

    /// A step, and what must hold after it.
    fn step(&mut self, number: usize, salt: u32, step: &Step) {
        self.salt = salt;
        self.disk.reseed(u64::from(salt));
        self.now += 1 + i64::from(salt % 50);
        let outcome = self.act(step);
        self.after(outcome);
        if self.tell {
            let wrong = self
                .verdict
                .wrong
                .first()
                .map_or(String::new(), |wrong| format!("  !! {wrong}"));
            self.verdict
                .told
                .push(format!("{number:>3} {step:?}: {outcome}{wrong}"));
        }
        if !self.disk.is_dead() && self.verdict.wrong.is_empty() {
            let slot = SLOTS[salt as usize % SLOTS.len()];
            let next = self.log.as_ref().map_or(0, |log| log.range(slot).end);
            self.look(slot, (next - 6).max(0));
            self.after("read");
        }
        if self.disk.is_dead() {
            self.reopen(self.death);
        }
    }

    /// Counts which faults led to what.
    fn after(&mut self, outcome: &'static str) {
        for ((call, how), _) in self.disk.take_happened() {
            if call == Call::Sync && how != "died" {
                self.model.excuse(Excuse::FailedSync, true);
            }
            let cleaned = outcome.starts_with("clean");
            self.model
                .excuse(Excuse::Full, cleaned && matches!(how, "ENOSPC" | "no room"));
            self.verdict.coverage.met(how, call.name(), outcome);
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.tell {
            self.verdict.told.push(what());
        }
    }

    fn wrong(&mut self, what: String) {
        if !self.disk.is_dead() {
            self.verdict.wrong.push(what);
        }
    }

    fn act(&mut self, step: &Step) -> &'static str {
        match step {
            Step::Append(batches) => self.append(batches),
            Step::Sync => self.sync(),
            Step::BeginSync => self.begin_sync(),
            Step::RunSync => self.run_sync(),
            Step::EndSync => self.end_sync(),
            Step::Mend(give_up) => self.mend(*give_up),
            Step::Mark => self.mark(),
            Step::Roll => self.roll(),
            Step::Read(slot, part) => {
                let end = self.log.as_ref().map_or(0, |log| log.range(SLOTS[*slot]).end);
                self.look(SLOTS[*slot], end * i64::from(*part) / 256);
                "read"
            }
            Step::SetLow(slot, part) => self.set_low(SLOTS[*slot], *part),
            Step::PlanClean => self.plan_clean(),
            Step::RunClean => self.run_clean(),
            Step::EndClean => self.end_clean(),
            Step::Clean => self.clean(),
            Step::Wait(ms) => {
                self.now += ms;
                "waited"
            }
            Step::Reopen(end) => {
                self.reopen(*end);
                "opened"
            }
            Step::DieAfter(calls, end) => {
                self.disk.die_after(*calls);
                self.death = *end;
                "will die"
            }
            Step::DieOpening(calls, end) => {
                self.dies_opening = Some((*calls, *end));
                "will die"
            }
            Step::Fail(fault) => {
                self.disk.fail(*fault);
                "will fail"
            }
            Step::Heal => {
                self.disk.heal();
                "healed"
            }
            Step::Fill(more) => {
                self.disk.limit(self.disk.used() + more);
                "filled"
            }
            Step::Free => {
                self.disk.limit(u64::MAX);
                "freed"
            }
            Step::Flip(flip) => self.flip(*flip),
            Step::Evict => {
                self.disk.evict();
                "evicted"
            }
            Step::Verify => self.verify(),
        }
    }

    fn options(&self) -> Options {
        Options {
            segment_size: self.setting.segment_size,
            segment_records: self.setting.segment_records,
            segment_age_ms: 60_000,
            open_files: 2,
            indexes: 1,
            dead_records: 3,
            never_cleaned: 2,
        }
    }

    /// Ends the process, and what it had in hand with it.
    fn end_process(&mut self, end: End) {
        self.log = None;
        self.ticket = None;
        self.cleaning = None;
        match end {
            End::Kill => self.disk.kill(),
            End::PowerCut => self.disk.cut_power(),
        }
        let handles = self.disk.handles();
        if handles > 0 {
            self.verdict
                .wrong
                .push(format!("{handles} files are open when the log is not"));
        }
    }

    fn roll(&mut self) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to roll";
        };
        let failing = log.failing().is_some();
        match log.roll(self.now) {
            Ok(()) => "rolled",
            Err(error) => self.refused(&error, failing),
        }
    }

    /// Reads a slot from an offset on.
    fn look(&mut self, slot: Slot, from: i64) {
        let Some(log) = &self.log else {
            return;
        };
        match look::read(log, slot, from) {
            Ok(Some(found)) => {
                let from = from.max(log.range(slot).start);
                self.compare(slot, from..i64::MAX, &found);
            }
            Ok(None) => {
                if !self.disk.has_happened() && !self.disk.is_dead() {
                    self.wrong(format!(
                        "slot {slot:#x} from {from} cannot be read, and nothing fails"
                    ));
                }
            }
            Err(wrong) => self.wrong(wrong),
        }
    }

    fn compare(&mut self, slot: Slot, range: Range<i64>, found: &[Found]) {
        let next = self.log.as_ref().map_or(0, |log| log.range(slot).end);
        let seen = look::compare(&self.model, slot, range, next, found, self.now);
        for part in seen.reported {
            self.verdict
                .coverage
                .met("a bit turned", part.name(), "reported at its offset");
        }
        for wrong in seen.wrong {
            self.wrong(wrong);
        }
    }

    /// Reads everything.
    fn look_at_all(&mut self) {
        for slot in SLOTS {
            let Some(log) = &self.log else {
                return;
            };
            let start = log.range(slot).start;
            // What lies below the first offset is missing too.
            self.compare(slot, 0..start, &[]);
            self.look(slot, start);
        }
    }

    /// Ends the faults, and lets the log show that it goes on.
    fn recover(&mut self) {
        self.salt = 0;
        self.disk.reseed(0);
        self.disk.heal();
        self.disk.limit(u64::MAX);
        self.dies_opening = None;
        if self.log.is_none() {
            self.open(false);
        }
        for step in [Step::Sync, Step::Mend(false), Step::Mend(true)] {
            let outcome = self.act(&step);
            self.tell(|| format!("end {step:?}: {outcome}"));
        }
        for end in [End::Kill, End::PowerCut] {
            let appended = self.act(&Step::Append(vec![vec![
                Item::Put { slot: 0, size: 9 },
                Item::Note(1),
            ]]));
            let synced = self.act(&Step::Sync);
            let all = self.model.acknowledged() == self.model.written.len();
            if appended != "appended" || !all {
                self.wrong(format!("does not go on after the faults: {appended}, {synced}"));
            }
            self.act(&Step::Mark);
            self.act(&Step::Sync);
            self.after("recovered");
            self.tell(|| format!("end: {appended}, {synced}, and then {end:?}"));
            self.reopen(end);
            if !self.verdict.wrong.is_empty() {
                return;
            }
        }
        self.act(&Step::Verify);
    }
}
