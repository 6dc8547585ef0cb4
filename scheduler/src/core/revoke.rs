//! Revocation: a lease that its worker does not show is taken back, in steps.
//!
//! Folding (an outcome may lie in the log already), then fencing (the client's ingress takes nothing more of the old run
//! and says whether a token was seen), then the next attempt or the end.

use relay_lifecycle::Ending;
use relay_schemas::{FenceAnswer, OutcomeStatus, TimestampMs};

use super::cancels::cancelled;
use super::place::{Arrival, Ticket};
use super::request::{Doubt, Held};
use super::{Attempt, Core, Effect};

/// What is known of the client of a lost run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// It saw nothing of it, and will see nothing more.
    SawNothing,
    /// It saw some of it, or nobody can say.
    MaySee,
}

impl Core {
    /// Looks all leases over: who was not shown for too long is doubted.
    pub(super) fn look_over_leases(&mut self, now: TimestampMs) {
        let lost_after = self.config.lost_after_ms as i64;
        let lost = self.leased.iter().filter(|ticket| {
            let leased = self.held.get(ticket).and_then(Held::leased);
            leased.is_some_and(|leased| leased.published && now.since_ms(leased.seen_at) >= lost_after)
        });
        let lost: Vec<Ticket> = lost.copied().collect();
        for ticket in lost {
            self.doubt(ticket);
        }
        self.settle_doubts();
    }

    /// Begins to doubt a lease.
    pub(super) fn doubt(&mut self, ticket: Ticket) {
        if !self.leading {
            return;
        }
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let request_id = held.ready.request.request_id.clone();
        let Some(leased) = held.leased_mut() else { return };
        if leased.doubt == Doubt::None && leased.published {
            leased.doubt = Doubt::Folding;
            self.doubts.push(Attempt {
                request_id,
                attempt: leased.lease.attempt,
            });
        }
    }

    /// One effect for all that came into doubt together.
    pub(super) fn settle_doubts(&mut self) {
        if !self.doubts.is_empty() {
            let doubts = std::mem::take(&mut self.doubts);
            self.effects.push(Effect::Settle(doubts));
        }
    }

    /// Outcomes are folded to where they ended after the doubt, and the control seam works: what is still in doubt is lost.
    pub fn settled(&mut self, doubts: &[Attempt], now: TimestampMs) {
        for attempt in doubts {
            let Some(leased) = self.leased_as(attempt) else {
                continue;
            };
            if leased.doubt != Doubt::Folding {
                continue;
            }
            leased.doubt = Doubt::Fencing;
            self.counts.revoked += 1;
            let Some(ticket) = self.ids.get(&attempt.request_id).copied() else {
                continue;
            };
            let Some(held) = self.held.get(&ticket) else {
                continue;
            };
            match held.ready.request.reply_to.clone() {
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
        let Some(leased) = self.leased_as(attempt) else {
            return;
        };
        if leased.doubt != Doubt::Fencing {
            return;
        }
        let Some(ticket) = self.ids.get(&attempt.request_id).copied() else {
            return;
        };
        let streamed = self
            .held
            .get(&ticket)
            .is_some_and(|held| held.ready.request.stream);
        let client = match answer {
            Some(answer) if answer.known && !answer.saw_token => Client::SawNothing,
            _ if !streamed => Client::SawNothing,
            _ => Client::MaySee,
        };
        self.take_back(ticket, client, now);
    }

    /// Takes a lost lease back: the next attempt, or the end.
    fn take_back(&mut self, ticket: Ticket, client: Client, now: TimestampMs) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        let Some(leased) = held.leased() else { return };
        let failed = |message: &str| Ending::because(OutcomeStatus::Failed, "worker_lost", message);
        let ending = if leased.cancelled {
            Some(cancelled())
        } else if held.deadline() <= now {
            let message = "its worker was lost and its deadline has passed";
            Some(Ending::because(
                OutcomeStatus::Expired,
                "deadline_exceeded",
                message,
            ))
        } else if client == Client::MaySee {
            Some(failed("its worker was lost after the answer had begun"))
        } else if leased.lease.attempt >= self.config.max_attempts {
            Some(failed("its workers were lost in every attempt"))
        } else {
            None
        };
        if let Some(ending) = ending {
            return self.end(ticket, ending, now);
        }
        self.leave(ticket);
        if let Some(held) = self.held.get_mut(&ticket) {
            held.since = now;
        }
        self.enqueue(ticket, Arrival::New);
    }
}
