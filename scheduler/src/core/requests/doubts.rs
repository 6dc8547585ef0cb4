//! Leases that come into doubt, and what becomes of them.

use relay_schemas::TimestampMs;

use super::{Attempt, Doubt, Doubted, Leased, Pending, Requests};
use crate::core::queues::Ticket;

impl Requests {
    /// From `now` on every lease gets a full term to be shown by its worker.
    pub fn renew(&mut self, now: TimestampMs) {
        for ticket in &self.leased {
            if let Some(leased) = self.pending.get_mut(ticket).and_then(Pending::leased_mut) {
                (leased.published, leased.seen_at) = (true, now);
            }
        }
    }

    /// Leases that workers can know of and for which `is_lost` holds.
    pub fn lost(&self, is_lost: impl Fn(&Pending, &Leased) -> bool) -> Vec<Ticket> {
        let lost = self.leased.iter().filter(|ticket| {
            let pending = self.get(**ticket);
            let leased = pending.and_then(|pending| Some((pending, pending.leased()?)));
            leased.is_some_and(|(pending, leased)| leased.published && is_lost(pending, leased))
        });
        lost.copied().collect()
    }

    /// Begins to doubt a lease; `None` if it is in doubt already, or its worker cannot know it yet.
    pub fn doubt(&mut self, ticket: Ticket) -> Option<Doubted> {
        let number = self.doubts + 1;
        let pending = self.pending.get_mut(&ticket)?;
        let request_id = pending.ready.request.request_id.clone();
        let leased = pending.leased_mut()?;
        if leased.doubt != Doubt::None || !leased.published {
            return None;
        }
        leased.doubt = Doubt::Folding(number);
        self.doubts = number;
        let attempt = Attempt {
            request_id,
            attempt: leased.lease.attempt,
        };
        Some(Doubted { attempt, number })
    }

    /// A doubt that still stands; `None` if its worker has shown the run since, or it is another doubt.
    pub fn doubted(&self, doubted: &Doubted) -> Option<(Ticket, &Pending, &Leased)> {
        let ticket = self.leased_as(&doubted.attempt)?;
        let pending = self.get(ticket)?;
        let leased = pending.leased()?;
        (leased.doubt == Doubt::Folding(doubted.number)).then_some((ticket, pending, leased))
    }

    /// A lease is not in doubt any more: there was no reason for it.
    pub fn trust(&mut self, ticket: Ticket) {
        if let Some(leased) = self.leased_mut(ticket) {
            leased.doubt = Doubt::None;
        }
    }

    /// An attempt that is in doubt is given up.
    pub fn give_up(&mut self, ticket: Ticket) {
        if let Some(leased) = self.leased_mut(ticket) {
            leased.doubt = Doubt::Fencing;
        }
    }
}
