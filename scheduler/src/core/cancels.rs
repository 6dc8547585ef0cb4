//! Requests that somebody wants stopped.

use relay_lifecycle::Ending;
use relay_schemas::{Cancel, OutcomeStatus, TimestampMs};

use super::Core;
use super::place::Ticket;
use super::request::State;

impl Core {
    /// Somebody wants a request stopped. Its worker ends it if it runs; here it ends if it waits.
    pub fn cancel(&mut self, cancel: &Cancel, now: TimestampMs) {
        let id = &cancel.request_id;
        if self.ended.get(id).is_some() {
            return;
        }
        self.cancelled.insert(id, cancel.tenant.clone());
        let Some(ticket) = self.ids.get(id).copied() else {
            return;
        };
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if held.ready.request.tenant != cancel.tenant {
            return;
        }
        match &mut held.state {
            State::Leased(leased) => {
                self.counts.changes += u64::from(!leased.cancelled);
                leased.cancelled = true;
            }
            State::Waiting if self.leading => self.end(ticket, cancelled(), now),
            State::Waiting | State::Ending => {}
        }
    }

    /// Ends what was cancelled while nobody led.
    pub(super) fn cancel_waiting(&mut self, now: TimestampMs) {
        let held = self.held.iter();
        let waiting = held.filter(|(_, held)| matches!(held.state, State::Waiting));
        let gone = waiting.filter(|(_, held)| {
            let request = &held.ready.request;
            self.cancelled.get(&request.request_id) == Some(&request.tenant)
        });
        let gone: Vec<Ticket> = gone.map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            self.end(ticket, cancelled(), now);
        }
    }
}

/// How a cancelled request ends.
pub(super) fn cancelled() -> Ending {
    Ending::because(OutcomeStatus::Cancelled, "cancelled", "it was cancelled")
}
