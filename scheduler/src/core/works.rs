//! Records of the work topics: our own come back, a predecessor's become known.

use relay_schemas::{Ready, RequestId, TimestampMs, Work};

use super::moves;
use super::queues::{Arrival, Ticket};
use super::recovery::{At, Input};
use super::requests::{Arrived, Attempt, Leased, Phase, due};
use super::scheduler::Core;

/// What a body counts beyond its text, where the size of its record is not known.
const ENVELOPE_BYTES: usize = 1_024;

impl Core {
    /// A work record is read: our own comes back, or a predecessor's becomes known.
    pub fn work(&mut self, work: Work, input: Input, at: At, ready_at: Option<At>, now: TimestampMs) {
        let id = &work.request.request_id;
        let is_new = self.recovery.fold(input, at);
        if !is_new || self.ended.get(id).is_some() || self.handed_over.get(id).is_some() {
            return;
        }
        let Work {
            request,
            planning,
            caching,
            queueing,
            lease,
        } = work;
        let known = self.requests.ticket(&request.request_id);
        let ticket = known.unwrap_or_else(|| {
            let ready = Ready {
                request,
                planning,
                caching,
            };
            let arrived = Arrived {
                bytes: ready.request.body.len() + ENVELOPE_BYTES,
                at: ready_at,
                queued_at: queueing.queued_at,
                since: self.timeline.steady_of(queueing.queued_at, now),
                due: due(&ready, &self.timeline, now),
                trace: None,
                ready,
            };
            let ticket = moves::insert(&mut self.requests, &mut self.queues, arrived, &self.pool);
            // Where its offer was not read again yet, what the snapshot says of it still comes before this record.
            let expected = ready_at.and_then(|at| self.recovery.take_expected(at));
            if !self.resume(ticket, expected, now) {
                self.queue(ticket, Arrival::New, now);
            }
            ticket
        });
        self.adopt(
            ticket,
            Leased::read(lease, queueing, now).in_partition(at.partition),
        );
    }

    /// The header of one of our own work records was read back: the body is known. False if it is none of ours.
    pub fn work_read_back(&mut self, id: &RequestId, attempt: u32, epoch: i64, input: Input, at: At) -> bool {
        let attempt = Attempt {
            request_id: id.clone(),
            attempt,
        };
        let ours = self.requests.read_back(&attempt, epoch);
        if ours {
            self.recovery.fold(input, at);
        }
        ours
    }

    fn adopt(&mut self, ticket: Ticket, read: Leased) {
        let lease = &read.lease;
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let newest = match &pending.phase {
            Phase::Leased(leased) if leased.lease == *lease => {
                let attempt = Attempt {
                    request_id: pending.ready.request.request_id.clone(),
                    attempt: lease.attempt,
                };
                self.requests.read_back(&attempt, lease.scheduler_epoch);
                return;
            }
            Phase::Leased(leased) => (leased.lease.attempt, leased.lease.scheduler_epoch),
            Phase::Queued | Phase::Moving => (pending.attempt, i64::MIN),
            Phase::Leaving | Phase::Ending => return,
        };
        // An overtaken scheduler's record may land late: then two workers run the request, and one of them loses.
        if (lease.attempt, lease.scheduler_epoch) > newest {
            self.leave(ticket);
            self.lease(ticket, read);
        }
    }
}
