//! What follows for waits and leases from a new lead and from a clock that was set.

use relay_schemas::TimestampMs;

use super::{Pending, Requests};

impl Requests {
    /// Every lease gets a full term to be shown by its worker.
    pub fn renew(&mut self, now: TimestampMs) {
        for ticket in &self.leased {
            if let Some(leased) = self.pending.get_mut(ticket).and_then(Pending::leased_mut) {
                (leased.published, leased.seen_at) = (true, now);
            }
        }
    }

    /// The clock was set back to `now`: no wait and no sight is later.
    pub fn set_back(&mut self, now: TimestampMs) {
        for pending in self.pending.values_mut() {
            pending.since = pending.since.min(now);
            if let Some(leased) = pending.leased_mut() {
                leased.seen_at = leased.seen_at.min(now);
            }
        }
    }

    /// The clock was set forward: waits began and leases were seen so much later.
    pub fn set_forward(&mut self, by_ms: i64) {
        for pending in self.pending.values_mut() {
            pending.since = pending.since.plus_ms(by_ms);
            if let Some(leased) = pending.leased_mut() {
                leased.seen_at = leased.seen_at.plus_ms(by_ms);
            }
        }
    }
}
