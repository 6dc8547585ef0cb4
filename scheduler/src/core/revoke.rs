//! Revocation: a lease that its worker does not show is taken back, in steps.
//!
//! A run that its worker has shown is lost once it is not shown for a while. One that a worker never showed, though that worker tells
//! that it lives, only has not been read: the log may have been away, and as long as it was, nothing follows. Then it goes to
//! another worker, counts for nothing, and the one that did not read it rests while others take what it would take. Where nobody
//! else takes it, it stays where it is, as a copy would only lie behind it: until it is read, another pool follows, or its deadline passes.
//!
//! Folding (an outcome may lie in the log already), then fencing (the client's ingress takes nothing more of the old run
//! and says whether a token was seen), then the next attempt, another pool or the end. A worker that gives a run back saves the
//! steps: it has sent nothing and will not. Where nothing was asked of any model, that counts as no attempt.

use relay_clock::millis;
use relay_lifecycle::{Ending, Reason};
use relay_schemas::{FenceAnswer, InstanceId, OutcomeStatus, Returned, Revoked, TimestampMs};

use super::cancels::cancelled;
use super::effects::Effect;
use super::queues::{Arrival, Ticket};
use super::requests::{Attempt, Doubt, Doubted, Leased, Pending};
use super::scheduler::Core;
use super::workers::Unbegun;

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
        for ticket in self
            .requests
            .lost(|pending, leased| self.is_lost(pending, leased, now))
        {
            self.doubt(ticket);
        }
        self.effects.settle_doubts();
    }

    /// The log cannot be read: nobody reads work either.
    pub fn log_is_away(&mut self, now: TimestampMs) {
        self.log_away_at = now;
    }

    /// Whether the worker has not shown a run for too long.
    fn is_lost(&self, pending: &Pending, leased: &Leased, now: TimestampMs) -> bool {
        let config = &self.config.leases;
        if !self.was_not_read(leased, now) {
            return now.since_ms(leased.seen_at) >= millis(config.lost_after);
        }
        if leased.passed_over {
            return true;
        }
        let unread_ms = now.since_ms(leased.seen_at.max(self.log_away_at));
        if unread_ms < millis(config.lost_after) {
            return false;
        }
        let is_over = leased.cancelled || pending.due <= now;
        let goes_on = !pending.stays && unread_ms >= millis(config.hand_over_after);
        is_over || goes_on || !self.only_its_worker_may_run_it(pending, leased, now)
    }

    /// Whether the worker of a lease that was not read will come to it, and nobody else of this pool takes its request.
    fn only_its_worker_may_run_it(&self, pending: &Pending, leased: &Leased, now: TimestampMs) -> bool {
        if leased.passed_over {
            return false;
        }
        let (lease, route) = (&leased.lease, &pending.key.route);
        let alone = |partition| {
            self.workers
                .is_alone(&lease.worker, route, partition, leased.since, now)
        };
        leased.partition.is_some_and(alone)
    }

    /// Whether the worker lives and never had it.
    fn was_not_read(&self, leased: &Leased, now: TimestampMs) -> bool {
        let lease = &leased.lease;
        !leased.shown && self.workers.lives(&lease.worker, lease.worker_epoch, now)
    }

    /// Begins to doubt a lease.
    pub(super) fn doubt(&mut self, ticket: Ticket) {
        if self.recovery.leads()
            && let Some(doubted) = self.requests.doubt(ticket)
        {
            self.effects.doubt(doubted);
        }
    }

    /// Outcomes are folded to where they ended after the doubt, and the control seam works: what is still in doubt is lost.
    pub fn settled(&mut self, doubts: &[Doubted], now: TimestampMs) {
        for doubted in doubts {
            let Some((ticket, pending, leased)) = self.requests.doubted(doubted) else {
                continue;
            };
            if self.was_not_read(leased, now) && !self.is_lost(pending, leased, now) {
                self.requests.trust(ticket);
                continue;
            }
            self.requests.give_up(ticket);
            self.tally.revoked += 1;
            let attempt = &doubted.attempt;
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

    /// A worker gives a run back that failed before a client saw anything of it. One that failed before it began goes to another
    /// worker, where one takes its model that has not failed it.
    pub(super) fn given_back(
        &mut self,
        ticket: Ticket,
        worker: &InstanceId,
        returned: &Returned,
        now: TimestampMs,
    ) {
        if !self.recovery.leads() {
            return;
        }
        // It says nothing of the request, which may have ended: outcomes first.
        if returned.code == Returned::PASSED_OVER {
            self.requests.passed_over(ticket);
            return self.doubt(ticket);
        }
        let mut again = false;
        if !returned.begun
            && let Some(pending) = self.requests.get(ticket)
            && let Some(leased) = pending.leased()
        {
            let route = &pending.key.route;
            self.workers
                .failed_to_begin(worker, route, Unbegun::Failed, leased.since, now);
            again = self.workers.others_may_take(route, now);
            self.requests
                .has_not_begun(ticket, self.config.leases.max_let_off);
        }
        let why = RunFailure {
            client: Client::SawNothing,
            code: &returned.code,
            message: &returned.message,
            again,
        };
        self.go_on(ticket, why, now);
    }

    /// Takes a lost lease back.
    fn take_back(&mut self, ticket: Ticket, client: Client, now: TimestampMs) {
        self.tell_of_revocation(ticket);
        let mut again = true;
        if let Some(pending) = self.requests.get(ticket)
            && let Some(leased) = pending.leased()
            && self.was_not_read(leased, now)
        {
            again = pending.stays || !self.only_its_worker_may_run_it(pending, leased, now);
            // While the log is away no worker reads anything.
            if self.is_lost(pending, leased, now) && !leased.passed_over {
                let (worker, route) = (&leased.lease.worker, &pending.key.route);
                let unread = Unbegun::Unread(route.lane);
                self.workers
                    .failed_to_begin(worker, route, unread, leased.since, now);
            }
            let most = self.config.leases.max_let_off;
            self.requests.has_not_begun(ticket, most);
        }
        let why = RunFailure {
            client,
            code: "worker_lost",
            message: "its workers were lost in every attempt",
            again,
        };
        self.go_on(ticket, why, now);
    }

    /// A worker that reads late does not run what is no longer its lease.
    fn tell_of_revocation(&mut self, ticket: Ticket) {
        let Some((pending, scheduler_epoch)) = self.requests.get(ticket).zip(self.recovery.epoch()) else {
            return;
        };
        if let Some(leased) = pending.leased() {
            self.effects.push(Effect::Revoke {
                worker: leased.lease.worker.clone(),
                worker_epoch: leased.lease.worker_epoch,
                revoked: Revoked {
                    request_id: pending.ready.request.request_id.clone(),
                    attempt: leased.lease.attempt,
                    scheduler_epoch,
                },
            });
        }
    }

    /// What becomes of a leased request whose run has failed.
    fn go_on(&mut self, ticket: Ticket, why: RunFailure<'_>, now: TimestampMs) {
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let Some(leased) = pending.leased() else { return };
        match next(pending, leased, why, self.config.leases.max_attempts, now) {
            Next::End(ending) => self.end(ticket, *ending, now),
            Next::HandOver(reason) => self.hand_over(ticket, reason, now),
            Next::Again => {
                self.leave(ticket);
                self.requests.waits_since(ticket, now);
                self.queue(ticket, Arrival::New, now);
            }
        }
    }
}

/// Why a run failed, and what of it is known.
#[derive(Clone, Copy)]
struct RunFailure<'a> {
    client: Client,
    code: &'a str,
    message: &'a str,
    /// Whether another worker of this pool may do better.
    again: bool,
}

/// What follows on a failed run.
enum Next {
    Again,
    HandOver(Reason),
    End(Box<Ending>),
}

fn next(
    pending: &Pending,
    leased: &Leased,
    why: RunFailure<'_>,
    max_attempts: u32,
    now: TimestampMs,
) -> Next {
    let failed = |message: &str| {
        let ending = Ending::because(OutcomeStatus::Failed, why.code, message);
        Next::End(Box::new(ending))
    };
    if leased.cancelled {
        return Next::End(Box::new(cancelled()));
    }
    if pending.due <= now {
        let message = "its worker was lost and its deadline has passed";
        let late = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", message);
        return Next::End(Box::new(late));
    }
    if why.client == Client::MaySee {
        let message = "its worker was lost after the answer had begun";
        return failed(message);
    }
    if why.again && pending.attempts_here() < max_attempts {
        return Next::Again;
    }
    // A lease that recovery does not know could come back from the log, and start the request here once more.
    match (pending.stays, leased.read_back) {
        (true, _) => failed(why.message),
        (false, false) => Next::Again,
        (false, true) => Next::HandOver(Reason {
            code: why.code.to_owned(),
            message: why.message.to_owned(),
        }),
    }
}
