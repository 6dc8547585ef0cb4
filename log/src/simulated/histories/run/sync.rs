//! Syncing, in one step or in three, and what follows a failed one.

use super::{Run, Sabotage};
use crate::simulated::Call;
use crate::simulated::histories::model::Written;
use crate::{SyncEnd, Unreadable};

impl Run {
    pub(super) fn sync(&mut self) -> &'static str {
        self.run_sync();
        self.end_sync();
        if self.ticket.is_none() {
            self.begin_sync();
        }
        self.run_sync();
        self.end_sync()
    }

    pub(super) fn begin_sync(&mut self) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to sync";
        };
        if self.ticket.is_some() {
            return "a sync is on its way";
        }
        self.ticket = log.begin_sync().map(|ticket| (ticket, None));
        "sync begun"
    }

    pub(super) fn run_sync(&mut self) -> &'static str {
        if let Some((ticket, result @ None)) = &mut self.ticket {
            *result = Some(if self.sabotage == Some(Sabotage::AcknowledgeBeforeSync) {
                Ok(())
            } else {
                ticket.run()
            });
            return if result.as_ref().is_some_and(Result::is_ok) {
                "sync succeeded"
            } else {
                "sync failed"
            };
        }
        "nothing to sync"
    }

    pub(super) fn end_sync(&mut self) -> &'static str {
        let (Some(log), Some((_, Some(_)))) = (&mut self.log, &self.ticket) else {
            return "nothing to sync";
        };
        let (ticket, result) = self.ticket.take().expect("it is there");
        let result = result.expect("it was run");
        let failed = result.is_err();
        let end = log.end_sync(ticket, result, self.now);
        self.sync_ended(&end, false);
        if failed && end.failing.is_none() {
            self.model.decide();
        }
        match (failed, end.failing, end.lost.is_empty()) {
            (false, ..) => "sync acknowledged",
            (true, None, true) => "sync failed, all written again",
            (true, None, false) => "sync failed, some lost and said so",
            (true, Some(_), _) => "sync failed, failing",
        }
    }

    pub(super) fn sync_ended(&mut self, end: &SyncEnd, unread: bool) {
        // What was read back wrong is lost although nothing failed but the bits that were turned.
        for lost in &end.lost {
            if let Some(wrong) = self.model.lose(lost.first, lost.last, unread) {
                self.wrong(wrong);
            }
        }
        self.model.acknowledge(end.synced);
    }

    pub(super) fn mend(&mut self, give_up: bool) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to mend";
        };
        if log.failing().is_none() {
            return "nothing to mend";
        }
        let unreadable = if give_up {
            Unreadable::GiveUp
        } else {
            Unreadable::Wait
        };
        let end = log.mend(self.now, unreadable);
        // What the disk did not give back then is lost, acknowledged or not: that is what giving up means.
        let unread = give_up && self.disk.has_failed_in(Call::Read);
        self.sync_ended(&end, unread);
        if end.failing.is_none() {
            self.model.decide();
        }
        match (end.failing, end.lost.is_empty()) {
            (None, true) => "mended",
            (None, false) => "mended, some lost and said so",
            (Some(_), _) => "not mended",
        }
    }

    pub(super) fn mark(&mut self) -> &'static str {
        let Some(log) = &mut self.log else {
            return "nothing to mark";
        };
        let proof = log.synced() + 1;
        let failing = log.failing().is_some();
        match log.mark(self.now) {
            Ok(true) => {
                self.model.written.push(Written {
                    seqs: log.last()..log.last() + 1,
                    proof,
                    records: Vec::new(),
                    notes: Vec::new(),
                    acknowledged: false,
                    lost: false,
                });
                self.model.decide();
                "marked"
            }
            Ok(false) => "nothing to mark",
            Err(error) => self.refused(&error, failing),
        }
    }
}
