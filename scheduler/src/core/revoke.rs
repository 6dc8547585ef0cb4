//! Revocation: a lease that its worker does not show is taken back, in steps.
//!
//! Folding (an outcome may lie in the log already), then fencing (the client's ingress takes nothing more of the old run
//! and says whether a token was seen), then the next attempt or the end.

use relay_lifecycle::Ending;
use relay_schemas::{FenceAnswer, OutcomeStatus, TimestampMs};

use super::cancels::cancelled;
use super::effects::Effect;
use super::queues::{Arrival, Ticket};
use super::requests::{Attempt, Doubt, Leased, Pending};
use super::scheduler::Core;

/// What is known of the client of a lost run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// It saw nothing of it, and will see nothing more.
    SawNothing,
    /// It saw some of it, or nobody can say.
    MaySee,
}

impl Core {
    /// Looks all leases over: what was not shown for too long is doubted.
    pub(super) fn look_over_leases(&mut self, now: TimestampMs) {
        for ticket in self.requests.lost(now, self.config.lost_after_ms as i64) {
            self.doubt(ticket);
        }
        self.effects.settle_doubts();
    }

    /// Begins to doubt a lease.
    pub(super) fn doubt(&mut self, ticket: Ticket) {
        if self.recovery.leads()
            && let Some(attempt) = self.requests.doubt(ticket)
        {
            self.effects.doubt(attempt);
        }
    }

    /// Outcomes are folded to where they ended after the doubt, and the control seam works: what is still in doubt is lost.
    pub fn settled(&mut self, doubts: &[Attempt], now: TimestampMs) {
        for attempt in doubts {
            let Some(ticket) = self.requests.give_up(attempt) else {
                continue;
            };
            self.tally.revoked += 1;
            let pending = self.requests.get(ticket);
            match pending.and_then(|pending| pending.ready.request.reply_to.clone()) {
                Some(reply_to) => self.effects.push(Effect::AskFence {
                    attempt: attempt.clone(),
                    reply_to,
                }),
                None => self.take_back(ticket, Client::SawNothing, now),
            }
        }
    }

    /// The ingress has answered, or nobody did.
    pub fn fence_answer(&mut self, attempt: &Attempt, answer: Option<FenceAnswer>, now: TimestampMs) {
        let Some(ticket) = self.requests.leased_as(attempt) else {
            return;
        };
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        if pending.leased().map(|leased| leased.doubt) != Some(Doubt::Fencing) {
            return;
        }
        let client = match answer {
            Some(answer) if answer.known && !answer.saw_token => Client::SawNothing,
            _ if !pending.ready.request.stream => Client::SawNothing,
            _ => Client::MaySee,
        };
        self.take_back(ticket, client, now);
    }

    /// Takes a lost lease back: the next attempt, or the end.
    fn take_back(&mut self, ticket: Ticket, client: Client, now: TimestampMs) {
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let Some(leased) = pending.leased() else { return };
        if let Some(ending) = end_of_lost(pending, leased, client, self.config.max_attempts, now) {
            return self.end(ticket, ending, now);
        }
        self.leave(ticket);
        self.requests.waits_since(ticket, now);
        self.queue(ticket, Arrival::New);
    }
}

/// How a request ends whose worker was lost; `None` if it gets another attempt.
fn end_of_lost(
    pending: &Pending,
    leased: &Leased,
    client: Client,
    max_attempts: u32,
    now: TimestampMs,
) -> Option<Ending> {
    let failed = |message: &str| Ending::because(OutcomeStatus::Failed, "worker_lost", message);
    if leased.cancelled {
        Some(cancelled())
    } else if pending.deadline() <= now {
        Some(Ending::because(
            OutcomeStatus::Expired,
            "deadline_exceeded",
            "its worker was lost and its deadline has passed",
        ))
    } else if client == Client::MaySee {
        Some(failed("its worker was lost after the answer had begun"))
    } else if leased.lease.attempt >= max_attempts {
        Some(failed("its workers were lost in every attempt"))
    } else {
        None
    }
}
