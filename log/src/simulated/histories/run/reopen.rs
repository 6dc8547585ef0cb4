//! The process ends, and another opens the log.

use std::sync::Arc;

use super::Run;
use crate::simulated::histories::model::{Excuse, State};
use crate::simulated::histories::opening;
use crate::simulated::histories::step::{COMPACTED, End, SLOTS};
use crate::simulated::{Call, SimulatedDisk};
use crate::{Damage, Log, Opened, Seq};

/// Openings that may fail while the disk does; then it heals.
const TRIES: u32 = 4;

impl Run {
    /// The process ends, another one opens the log, and everything in it is looked at.
    pub(super) fn reopen(&mut self, end: End) {
        self.end_process(end);
        self.open(end == End::PowerCut);
        self.look_at_all();
        self.after("read all");
    }

    /// Opens the log, if need be with several processes.
    pub(super) fn open(&mut self, mut power_lost: bool) {
        let mut tried_before = false;
        for attempt in 0.. {
            self.after("opening");
            self.disk
                .reseed(u64::from(self.salt) + u64::from(attempt) * 1_000_003);
            if attempt == TRIES {
                self.disk.heal();
            }
            let dies = self.dies_opening.take();
            if let Some((calls, end)) = dies {
                self.disk.die_after(calls);
                self.death = end;
            }
            let opened = Log::open(Arc::new(self.disk.clone()), self.options(), 0x5eed, self.now);
            if self.disk.is_dead() {
                drop(opened);
                power_lost |= self.death == End::PowerCut;
                tried_before = true;
                self.after("died opening");
                self.end_process(self.death);
                continue;
            }
            match opened {
                Ok((mut log, opened)) => {
                    // Else the first cleaning says so.
                    if !self.salt.is_multiple_of(4) {
                        set_compacted(&mut log);
                    }
                    let held = opening::state(&log);
                    self.log = Some(log);
                    self.opened(&opened, held, power_lost, tried_before);
                    return;
                }
                Err(error) => {
                    let only_full = !self.disk.has_failed();
                    if only_full && (!self.disk.has_happened() || !self.model.written.is_empty()) {
                        self.wrong(format!("does not open: {error}"));
                        return;
                    }
                    self.tell(|| format!("    does not open: {error}"));
                    tried_before = true;
                    self.after("opening refused");
                    self.end_process(End::Kill);
                }
            }
        }
    }

    fn opened(&mut self, opened: &Opened, held: State, power_lost: bool, tried_before: bool) {
        let log = self.log.as_ref().expect("it was opened");
        self.model
            .excuse_only(Excuse::Unread, self.disk.has_failed_in(Call::Read));
        self.model.unread.clear();
        if self.model.is(Excuse::Unread) {
            let named = opened
                .damaged
                .iter()
                .filter_map(|damage| damage.slot.zip(damage.offset));
            self.model.unread.extend(named);
        }
        // A process that died after a failed sync, or while it wrote again what it could not read, may have known of losses that it
        // told nobody.
        for at in self.model.unsure() {
            let batch = &mut self.model.written[at];
            batch.lost |= opening::is_gone(log, batch);
        }
        let chosen = match opening::choose(&self.model, log, &held, power_lost) {
            Ok(chosen) => chosen,
            Err(wrong) => {
                self.wrong(format!("{wrong}; opened: {opened:?}"));
                return;
            }
        };
        let all = self.model.written.len();
        let failing = log.failing().map(str::to_owned);
        self.tell(|| {
            format!(
                "    {} of {all} batches and {} of unknown result, power lost: {power_lost}, failing: {failing:?}, {held:?}, {opened:?}",
                chosen.count,
                chosen.unknown.len(),
            )
        });
        let nameless = |damage: &Damage| damage.slot.is_none() && damage.what.contains("readable");
        if opened.damaged.iter().any(nameless) {
            let heads: Vec<Seq> = self.model.head_hits().collect();
            self.model.nameless.extend(heads);
        }
        let mut damaged = opened.damaged.iter();
        let excused = damaged.all(|damage| self.model.may_be_damaged(damage));
        if !excused && !self.model.is(Excuse::Unread) {
            self.wrong(format!("damage is told, and nothing was done: {opened:?}"));
        }
        let silent = opened.cut.is_none() && opened.damaged.is_empty();
        if chosen.count < self.model.acknowledged() && silent && !tried_before {
            self.wrong("acknowledged batches behind a turned bit are gone, and nothing is said".to_owned());
        }
        let outcome = match (chosen.count == self.model.written.len(), silent) {
            (true, true) => "opened whole",
            (true, false) => "opened, something cut or damaged",
            (false, _) => "opened, a torn tail cut",
        };
        let how = if power_lost { "power cut" } else { "kill" };
        self.verdict.coverage.met(how, "between steps", outcome);
        self.after(outcome);
        let log = self.log.as_ref().expect("it was opened");
        let synced = log.synced();
        self.model.cut(chosen.count, &held, failing.is_some());
        self.model.written.extend(chosen.unknown);
        // What was written again may have got the numbers of those, so they prove nothing.
        for batch in &mut self.model.written[chosen.certain..] {
            batch.proof = 0;
        }
        for lost in &opened.lost {
            if let Some(wrong) = self.model.lose(lost.first, lost.last, false) {
                self.wrong(wrong);
            }
        }
        self.model.forget_lost(&held);
        self.model.adopt(held);
        self.model.acknowledge(synced);
    }
}

/// Compacted slots are told to each log.
pub(super) fn set_compacted(log: &mut Log<SimulatedDisk>) {
    for slot in &SLOTS[COMPACTED..] {
        log.set_compacted(*slot);
    }
}
