//! The ingress: accepts into the log, follows answers with the real follower, reads how they ended from the log, cancels
//! for clients that went away.

mod admit;
mod hearing;

use std::collections::BTreeMap;

use relay_lifecycle::{Follower, Step, Transcript, final_of, is_success};
use relay_schemas::{Cancel, Final, Outcome, RequestId, TenantId, TimestampMs};

pub(crate) use self::admit::ABSENT;
use self::admit::Admitting;
use crate::client::ClientEnd;
use crate::network::{Asker, Message};
use crate::schedule::Actor;
use crate::sweeper::Sweeper;
use crate::world::World;

/// How long after its deadline an end is still waited for, milliseconds.
const DEADLINE_GRACE_MS: i64 = 2_000;
const CANCEL_EVERY_MS: i64 = 250;

/// One ingress instance. Its tables are by client: several may wait for one request.
pub(crate) struct Ingress {
    number: u8,
    /// What of the outcomes it reads next. It starts at their end: what it accepts cannot have ended before.
    next: i64,
    admitting: BTreeMap<usize, Admitting>,
    waiting: BTreeMap<usize, Waiting>,
    pub sweeper: Sweeper,
}

/// An answer on its way to a client.
struct Waiting {
    id: RequestId,
    follower: Follower,
    streamed: bool,
    /// Whether the client chose the id, by an idempotency key.
    keyed: bool,
    /// Until when an end is waited for.
    until: TimestampMs,
    /// Once the client went away: when its request is cancelled next.
    cancel_at: Option<TimestampMs>,
}

impl Ingress {
    pub fn new(number: u8, next: i64, swept_to: i64) -> Self {
        Self {
            number,
            next,
            admitting: BTreeMap::new(),
            waiting: BTreeMap::new(),
            sweeper: Sweeper::new(swept_to),
        }
    }

    fn actor(&self) -> Actor {
        Actor::Ingress(self.number)
    }

    /// Who waits for `id`.
    fn waiting_for<'a>(&'a mut self, id: &'a RequestId) -> impl Iterator<Item = (usize, &'a mut Waiting)> {
        let waiting = self
            .waiting
            .iter_mut()
            .filter(move |(_, waiting)| waiting.id == *id);
        waiting.map(|(client, waiting)| (*client, waiting))
    }
}

impl World {
    /// The n-th client goes away. Its request is cancelled, unless it has a key: then somebody may come back and ask.
    pub(crate) fn leave(&mut self, client: usize) {
        let Some(gone) = self.clients.get_mut(client).filter(|client| !client.is_done()) else {
            return;
        };
        gone.end = Some(ClientEnd::Left);
        let deadline = gone.deadline;
        for number in 0..2 {
            let ingress = &mut self.ingresses[number];
            ingress.admitting.remove(&client);
            if let Some(waiting) = ingress.waiting.get_mut(&client) {
                waiting.until = deadline;
                waiting.cancel_at = (!waiting.keyed).then_some(self.now);
                let actor = ingress.actor();
                self.wake(actor, self.now);
            }
        }
    }

    /// The process died: every client of it sees a broken connection.
    pub(crate) fn break_connections(&mut self, number: u8) {
        let ingress = &mut self.ingresses[usize::from(number)];
        let waiting = std::mem::take(&mut ingress.waiting).into_keys();
        for client in waiting.chain(std::mem::take(&mut ingress.admitting).into_keys()) {
            self.clients[client].end.get_or_insert(ClientEnd::Error);
        }
    }

    pub(crate) fn step_ingress(&mut self, number: u8) {
        self.read_outcomes(number);
        self.admit_unanswered(number);
        let now = self.now;
        let ingress = &self.ingresses[usize::from(number)];
        let clients: Vec<usize> = ingress.waiting.keys().copied().collect();
        for client in clients {
            let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&client) else {
                continue;
            };
            if now > waiting.until {
                self.give_up(number, client);
            } else if waiting.follower.next_wakeup().is_some_and(|at| at <= now) {
                let steps = waiting.follower.on_wakeup(now);
                self.follow(number, client, steps);
            }
        }
        self.repeat_cancels(number);
        self.sweep(number);
        self.plan_ingress(number);
    }

    /// No end was heard of in time. Whoever still holds the request is told that it is too late.
    fn give_up(&mut self, number: u8, client: usize) {
        let Some(waiting) = self.ingresses[usize::from(number)].waiting.remove(&client) else {
            return;
        };
        if self.clients[client].end.is_none() {
            self.clients[client].end = Some(ClientEnd::Error);
            self.cancel(number, &waiting.id, "deadline");
        }
    }

    /// The first outcome that it reads of a request is the first there is; of one whose id a client chose, only the sink knows.
    fn read_outcomes(&mut self, number: u8) {
        if !self.log_moves() {
            return;
        }
        let now = self.now;
        while let Some(outcome) = self.log.outcomes.get(self.ingresses[usize::from(number)].next) {
            let ingress = &mut self.ingresses[usize::from(number)];
            ingress.next += 1;
            let mut told = Vec::new();
            for (client, waiting) in ingress.waiting_for(&outcome.request_id) {
                if waiting.keyed {
                    waiting.follower.on_recorded(Some(outcome), now);
                } else {
                    told.push((client, waiting.follower.on_winner(outcome, now)));
                }
            }
            for (client, steps) in told {
                self.follow(number, client, steps);
            }
        }
    }

    fn repeat_cancels(&mut self, number: u8) {
        let now = self.now;
        let mut due = Vec::new();
        for waiting in self.ingresses[usize::from(number)].waiting.values_mut() {
            if let Some(at) = waiting.cancel_at.as_mut().filter(|at| **at <= now) {
                *at = now.plus_ms(CANCEL_EVERY_MS);
                due.push(waiting.id.clone());
            }
        }
        for id in due {
            self.cancel(number, &id, "client_gone");
        }
    }

    /// Tells everybody once.
    fn cancel(&mut self, number: u8, id: &RequestId, reason: &str) {
        let cancel = Cancel {
            request_id: id.clone(),
            tenant: tenant_of(id),
            reason: reason.to_owned(),
        };
        for to in [Actor::SCHEDULERS, Actor::WORKERS].concat().concat() {
            let cancel = Message::Cancel(Box::new(cancel.clone()));
            self.send(Actor::Ingress(number), to, cancel);
        }
    }

    /// Wakes when the first admission, follower, cancel, deadline or forgotten request is due.
    fn plan_ingress(&mut self, number: u8) {
        let ingress = &self.ingresses[usize::from(number)];
        let admitting = ingress.admitting.values().map(|admitting| admitting.until);
        let ahead_ms = self.wall(ingress.actor()).since_ms(self.now);
        let waiting = ingress.waiting.values().flat_map(|waiting| {
            let due = [waiting.follower.next_wakeup(), waiting.cancel_at];
            due.into_iter().flatten().chain([waiting.until.plus_ms(1)])
        });
        if let Some(at) = waiting
            .chain(admitting)
            .chain(ingress.sweeper.next_wakeup(self.now, ahead_ms))
            .min()
        {
            self.wake(ingress.actor(), at.max(self.now.plus_ms(1)));
        }
    }

    /// Does what the follower decided.
    fn follow(&mut self, number: u8, client: usize, steps: Vec<Step>) {
        let actor = Actor::Ingress(number);
        let asker = Asker {
            ingress: actor,
            client,
        };
        for step in steps {
            let Some(waiting) = self.ingresses[usize::from(number)].waiting.get(&client) else {
                return;
            };
            let (id, streamed) = (waiting.id.clone(), waiting.streamed);
            match step {
                Step::Show(deltas) => {
                    let seen = &mut self.clients[client].seen;
                    for delta in &deltas {
                        seen.apply_delta(delta);
                    }
                }
                Step::Finish { end, content } => {
                    if !streamed {
                        self.clients[client].seen = content;
                    }
                    self.ingresses[usize::from(number)].waiting.remove(&client);
                    self.sees(client, &end);
                }
                Step::Break(why) => {
                    self.note(|| format!("client {client} of {id} sees {why:?}"));
                    self.clients[client].end.get_or_insert(ClientEnd::Error);
                    self.ingresses[usize::from(number)].waiting.remove(&client);
                }
                Step::AskWinner => self.send(actor, Actor::TraceSink, Message::AskWinner(id, asker)),
                Step::AskReplay { run, from_seq } => {
                    let worker = run
                        .instance
                        .as_str()
                        .strip_prefix("worker-")
                        .and_then(|n| n.parse().ok());
                    if let Some(worker) = worker {
                        let question = Message::AskReplay(id, Box::new(run), from_seq, asker);
                        self.send(actor, Actor::Worker(worker), question);
                    }
                }
            }
        }
    }

    /// A client is told how its request ended.
    fn sees(&mut self, client: usize, end: &Final) {
        let saw = if is_success(end.status) {
            ClientEnd::Finished
        } else {
            ClientEnd::Error
        };
        self.note(|| format!("client {client} sees {saw:?}"));
        self.clients[client].end.get_or_insert(saw);
    }

    /// A client is told what was recorded before it asked.
    fn sees_recorded(&mut self, client: usize, outcome: &Outcome) {
        if let Some(answer) = &outcome.answer {
            self.clients[client].seen = Transcript::of(answer);
        }
        self.sees(client, &final_of(outcome));
    }
}

/// Whatever the try.
fn tenant_of(id: &RequestId) -> TenantId {
    let first_try = id.as_str().split('-').next().unwrap_or_default();
    let last = first_try.bytes().last().unwrap_or_default();
    TenantId::new(format!("tenant-{}", last % 3))
}
