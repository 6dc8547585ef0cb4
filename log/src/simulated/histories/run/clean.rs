//! Letting go and cleaning, in one step or in three.

use super::reopen::set_compacted;
use super::{Cleaning, Run};
use crate::simulated::histories::look;

/// Steps of cleaning at once; there are far fewer segments.
const MOST_CLEANINGS: usize = 400;

impl Run {
    pub(super) fn set_low(&mut self, slot: u32, part: u8) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to let go";
        };
        let low = log.range(slot).end * i64::from(part) / 256;
        log.set_low(slot, low);
        let known = self.model.low.entry(slot).or_default();
        *known = (*known).max(low);
        "let go"
    }

    pub(super) fn plan_clean(&mut self) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to clean";
        };
        if self.cleaning.is_some() {
            return "a cleaning is on its way";
        }
        set_compacted(log);
        let plan = log.plan_clean(self.now, look::LAG);
        self.cleaning = plan.map(Cleaning::Planned);
        if self.cleaning.is_some() {
            "cleaning planned"
        } else {
            "nothing to clean"
        }
    }

    pub(super) fn run_clean(&mut self) -> &'static str {
        let Some(Cleaning::Planned(_)) = &self.cleaning else {
            return "nothing to clean";
        };
        let Some(Cleaning::Planned(plan)) = self.cleaning.take() else {
            return "nothing to clean";
        };
        let result = plan.run();
        let ok = result.is_ok();
        self.cleaning = Some(Cleaning::Ran(result));
        if ok { "cleaned" } else { "cleaning failed" }
    }

    pub(super) fn end_clean(&mut self) -> &'static str {
        let (Some(log), Some(Cleaning::Ran(_))) = (&mut self.log, &self.cleaning) else {
            return "nothing to clean";
        };
        let Some(Cleaning::Ran(result)) = self.cleaning.take() else {
            return "nothing to clean";
        };
        match log.end_clean(result, self.now) {
            Ok(true) => "cleaning took place",
            Ok(false) => "cleaning changed nothing",
            Err(_) => "cleaning failed",
        }
    }

    pub(super) fn clean(&mut self) -> &'static str {
        let mut outcome = "nothing to clean";
        for _ in 0..MOST_CLEANINGS {
            self.plan_clean();
            if self.cleaning.is_none() {
                return outcome;
            }
            self.run_clean();
            outcome = self.end_clean();
            if outcome == "cleaning failed" || self.disk.is_dead() {
                return outcome;
            }
            self.sync();
        }
        self.wrong(format!("cleaning does not end in {MOST_CLEANINGS} steps"));
        outcome
    }
}
