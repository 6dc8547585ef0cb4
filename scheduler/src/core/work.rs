//! Records of the work topics: our own come back, a predecessor's become known.

use relay_schemas::{Ready, TimestampMs, Work};

use super::place::{Arrival, Ticket};
use super::request::{At, Held, Leased, State};
use super::{Core, Input};

impl Core {
    /// A work record is read: our own comes back, or a predecessor's becomes known.
    pub fn work(&mut self, work: Work, input: Input, at: At, ready_at: Option<At>, now: TimestampMs) {
        if !self.offsets.fold(input, at) {
            return;
        }
        let id = &work.request.request_id;
        if self.ended.get(id).is_some() {
            return;
        }
        let ticket = self.ids.get(id).copied();
        let ticket = ticket.unwrap_or_else(|| {
            let ready = Ready {
                request: work.request,
                planning: work.planning,
                caching: work.caching,
            };
            // The body counts as about what its encoded text takes; the record's own size is not known here.
            let bytes = ready.request.canonical.len() + 1_024;
            let ticket = self.insert(ready, ready_at, bytes, work.queueing.queued_at);
            // Where its offer was not read again yet, what the snapshot says of it still comes before this record.
            let expected = ready_at.and_then(|at| self.expected.remove(&at));
            if !self.resume(ticket, expected, now) {
                self.enqueue(ticket, Arrival::New);
            }
            ticket
        });
        self.adopt(ticket, work.lease, work.queueing, now);
    }

    /// The header of one of our own work records was read back: the body is known.
    pub fn work_read_back(
        &mut self,
        id: &relay_schemas::RequestId,
        attempt: u32,
        epoch: i64,
        input: Input,
        at: At,
    ) -> bool {
        let Some(leased) = self
            .ids
            .get(id)
            .and_then(|ticket| self.held.get_mut(ticket))
            .and_then(Held::leased_mut)
        else {
            return false;
        };
        if leased.lease.attempt != attempt || leased.lease.scheduler_epoch != epoch {
            return false;
        }
        leased.read_back = true;
        leased.published = true;
        self.offsets.fold(input, at);
        true
    }

    fn adopt(
        &mut self,
        ticket: Ticket,
        lease: relay_schemas::Lease,
        queueing: relay_schemas::Queueing,
        now: TimestampMs,
    ) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if let Some(leased) = held.leased_mut().filter(|leased| leased.lease == lease) {
            leased.read_back = true;
            return;
        }
        let newest = held.leased().map_or((held.attempt, i64::MIN), |leased| {
            (leased.lease.attempt, leased.lease.scheduler_epoch)
        });
        // An overtaken scheduler's record may land late: then two workers run the request, and one of them loses.
        let ending = matches!(held.state, State::Ending);
        if ending || (lease.attempt, lease.scheduler_epoch) <= newest {
            return;
        }
        self.leave(ticket);
        self.grant(ticket, Leased::read(lease, queueing, now));
    }
}
