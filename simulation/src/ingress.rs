//! The ingress: accepts into the log, follows answers with the real follower, reads how they ended from the log, cancels
//! for clients that went away.

use std::collections::BTreeMap;

use rand::Rng;
use relay_lifecycle::{Follower, Patience, Step};
use relay_schemas::{
    Cancel, Class, FenceAnswer, Frame, Outcome, Request, RequestId, TenantId, TimestampMs, TokenCount,
};

use crate::client::{Client, Saw};
use crate::log::Append;
use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// How long after its deadline an end is still waited for, milliseconds.
const DEADLINE_GRACE_MS: i64 = 2_000;
const CANCEL_EVERY_MS: i64 = 250;

/// One ingress instance.
pub(crate) struct Ingress {
    number: u8,
    /// What of the outcomes it reads next. It starts at their end: what it accepts cannot have ended before.
    next: i64,
    waiting: BTreeMap<RequestId, Waiting>,
    /// Requests whose clients went away: cancelled again and again until their deadline.
    leaving: BTreeMap<RequestId, (TenantId, TimestampMs, TimestampMs)>,
}

struct Waiting {
    client: usize,
    follower: Follower,
    streamed: bool,
    /// Whether the client chose the id, by an idempotency key.
    keyed: bool,
}

impl Ingress {
    pub fn new(number: u8, next: i64) -> Self {
        Self {
            number,
            next,
            waiting: BTreeMap::new(),
            leaving: BTreeMap::new(),
        }
    }

    fn actor(&self) -> Actor {
        Actor::Ingress(self.number)
    }
}

impl World {
    /// A client asks the one or the other ingress.
    pub(crate) fn ask(&mut self, streamed: bool, tokens: u8, within: i64, question: u8) {
        let number = self.random.random_range(0..2u8);
        let client = self.clients.len();
        let deadline = self.now.plus_ms(within);
        let mut asked = Client {
            request: None,
            text: String::new(),
            end: None,
            deadline,
        };
        if self.life(Actor::Ingress(number)).epoch == 0 {
            asked.end = Some(Saw::Error);
            return self.clients.push(asked);
        }
        let request = request(client, number, streamed, tokens, deadline, question, self.now);
        asked.request = Some(request.request_id.clone());
        self.clients.push(asked);
        let waiting = Waiting {
            client,
            follower: Follower::new(Patience::default(), streamed, self.now),
            streamed,
            keyed: request.idempotency_key.is_some(),
        };
        let ingress = &mut self.ingresses[usize::from(number)];
        ingress.waiting.insert(request.request_id.clone(), waiting);
        let actor = ingress.actor();
        self.append(actor, Append::Request(Box::new(request)));
        self.wake(actor, self.now);
    }

    /// The n-th client goes away.
    pub(crate) fn leave(&mut self, client: usize) {
        let Some(gone) = self.clients.get_mut(client).filter(|client| !client.is_done()) else {
            return;
        };
        gone.end = Some(Saw::Left);
        let (Some(id), deadline) = (gone.request.clone(), gone.deadline) else {
            return;
        };
        for number in 0..2 {
            let ingress = &mut self.ingresses[number];
            if ingress.waiting.remove(&id).is_some() {
                ingress
                    .leaving
                    .insert(id.clone(), (tenant_of(&id), self.now, deadline));
                let actor = ingress.actor();
                self.wake(actor, self.now);
            }
        }
    }

    /// The process died: every client of it sees a broken connection.
    pub(crate) fn break_connections(&mut self, number: u8) {
        let waiting = std::mem::take(&mut self.ingresses[usize::from(number)].waiting);
        for (_, waiting) in waiting {
            self.clients[waiting.client].end.get_or_insert(Saw::Error);
        }
    }

    pub(crate) fn step_ingress(&mut self, number: u8) {
        self.read_outcomes(number);
        let now = self.now;
        let ids: Vec<RequestId> = self.ingresses[usize::from(number)]
            .waiting
            .keys()
            .cloned()
            .collect();
        for id in ids {
            let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&id) else {
                continue;
            };
            let late = now > self.clients[waiting.client].deadline.plus_ms(DEADLINE_GRACE_MS);
            if late {
                let client = waiting.client;
                self.ingresses[usize::from(number)].waiting.remove(&id);
                self.clients[client].end.get_or_insert(Saw::Error);
                continue;
            }
            if waiting.follower.next_wakeup().is_some_and(|at| at <= now) {
                let steps = waiting.follower.on_wakeup(now);
                self.follow(number, &id, steps);
            }
        }
        self.repeat_cancels(number);
        self.plan_ingress(number);
    }

    /// The first outcome that it reads of a request is the first there is; of one whose id a client chose, only the sink knows.
    fn read_outcomes(&mut self, number: u8) {
        let now = self.now;
        while let Some(outcome) = self.log.outcomes.get(self.ingresses[usize::from(number)].next) {
            let ingress = &mut self.ingresses[usize::from(number)];
            ingress.next += 1;
            let Some(waiting) = ingress.waiting.get_mut(&outcome.request_id) else {
                continue;
            };
            if waiting.keyed {
                waiting.follower.on_recorded(now);
                continue;
            }
            let id = outcome.request_id.clone();
            let steps = waiting.follower.on_winner(outcome, now);
            self.follow(number, &id, steps);
        }
    }

    fn repeat_cancels(&mut self, number: u8) {
        let now = self.now;
        let leaving = &mut self.ingresses[usize::from(number)].leaving;
        leaving.retain(|_, (_, _, deadline)| *deadline > now);
        let mut due = Vec::new();
        for (id, (tenant, next, _)) in leaving.iter_mut().filter(|(_, (_, next, _))| *next <= now) {
            *next = now.plus_ms(CANCEL_EVERY_MS);
            due.push(Cancel {
                request_id: id.clone(),
                tenant: tenant.clone(),
                reason: "client_gone".to_owned(),
            });
        }
        for cancel in due {
            for to in [
                Actor::Scheduler(0),
                Actor::Scheduler(1),
                Actor::Worker(0),
                Actor::Worker(1),
            ] {
                self.send(
                    Actor::Ingress(number),
                    to,
                    Message::Cancel(Box::new(cancel.clone())),
                );
            }
        }
    }

    /// Wakes when the first follower, cancel or deadline is due.
    fn plan_ingress(&mut self, number: u8) {
        let ingress = &self.ingresses[usize::from(number)];
        let waiting = ingress.waiting.values().flat_map(|waiting| {
            let deadline = self.clients[waiting.client]
                .deadline
                .plus_ms(DEADLINE_GRACE_MS + 1);
            waiting.follower.next_wakeup().into_iter().chain([deadline])
        });
        let leaving = ingress.leaving.values().map(|(_, next, _)| *next);
        if let Some(at) = waiting.chain(leaving).min() {
            self.wake(ingress.actor(), at.max(self.now.plus_ms(1)));
        }
    }

    /// Does what the follower decided.
    fn follow(&mut self, number: u8, id: &RequestId, steps: Vec<Step>) {
        let actor = Actor::Ingress(number);
        for step in steps {
            let Some(waiting) = self.ingresses[usize::from(number)].waiting.get(id) else {
                return;
            };
            let (client, streamed) = (waiting.client, waiting.streamed);
            match step {
                Step::Show(text) => self.clients[client].text.push_str(&text),
                Step::Finish { end, text } => {
                    if !streamed {
                        self.clients[client].text = text;
                    }
                    let good = relay_lifecycle::is_success(end.status);
                    let saw = if good {
                        Saw::Finished(end.finish_reason.unwrap_or_default())
                    } else {
                        Saw::Error
                    };
                    self.note(|| format!("client of {id} sees {saw:?}"));
                    self.clients[client].end.get_or_insert(saw);
                    self.ingresses[usize::from(number)].waiting.remove(id);
                }
                Step::Break(why) => {
                    self.note(|| format!("client of {id} sees {why:?}"));
                    self.clients[client].end.get_or_insert(Saw::Error);
                    self.ingresses[usize::from(number)].waiting.remove(id);
                }
                Step::AskWinner => self.send(actor, Actor::TraceSink, Message::AskWinner(id.clone(), actor)),
                Step::AskReplay { run, from_seq } => {
                    let worker = run
                        .instance
                        .as_str()
                        .strip_prefix("worker-")
                        .and_then(|n| n.parse().ok());
                    if let Some(worker) = worker {
                        let question = Message::AskReplay(id.clone(), Box::new(run), from_seq, actor);
                        self.send(actor, Actor::Worker(worker), question);
                    }
                }
            }
        }
    }

    pub(crate) fn ingress_hears(&mut self, number: u8, message: Message) {
        let now = self.now;
        match message {
            Message::Frame(frame) => self.frames_arrive(number, vec![*frame]),
            Message::Replay(frames) => self.frames_arrive(number, frames),
            Message::Winner(id, Some(outcome)) => {
                if let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&id) {
                    let steps = waiting.follower.on_winner(&outcome, now);
                    self.follow(number, &id, steps);
                }
            }
            Message::Lost => {
                for waiting in self.ingresses[usize::from(number)].waiting.values_mut() {
                    waiting.follower.on_lost(now);
                }
            }
            Message::AskFence(id, attempt, scheduler) => {
                let waiting = self.ingresses[usize::from(number)].waiting.get_mut(&id);
                let answer = match waiting {
                    Some(waiting) => FenceAnswer {
                        known: true,
                        saw_token: waiting.follower.fence(attempt),
                    },
                    None => FenceAnswer {
                        known: false,
                        saw_token: false,
                    },
                };
                self.send(
                    Actor::Ingress(number),
                    scheduler,
                    Message::Fenced(id, attempt, answer),
                );
            }
            _ => {}
        }
        self.plan_ingress(number);
    }

    /// What the run of a last frame has recorded, be it the first or not.
    fn outcome_of(&self, frame: &Frame) -> Option<Outcome> {
        frame.end.as_ref()?;
        let mut outcomes = self.log.outcomes.iter().map(|(_, outcome)| outcome);
        let own = |outcome: &&Outcome| outcome.request_id == frame.request_id && outcome.run == frame.run;
        outcomes.find(own).cloned()
    }

    fn frames_arrive(&mut self, number: u8, frames: Vec<Frame>) {
        for frame in frames {
            let id = frame.request_id.clone();
            if self.sabotage == Sabotage::BelieveFinals
                && let Some(outcome) = self.outcome_of(&frame)
            {
                self.ingress_hears(number, Message::Winner(id.clone(), Some(Box::new(outcome))));
            }
            if let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&id) {
                let steps = waiting.follower.on_frame(frame, self.now);
                self.follow(number, &id, steps);
            }
        }
    }
}

fn tenant_of(id: &RequestId) -> TenantId {
    let last = id.as_str().bytes().last().unwrap_or_default();
    TenantId::new(format!("tenant-{}", last % 3))
}

/// The question decides the canonical text; the number of tokens is part of it, so equal texts have equal answers.
fn request(
    client: usize,
    ingress: u8,
    streamed: bool,
    tokens: u8,
    deadline: TimestampMs,
    question: u8,
    now: TimestampMs,
) -> Request {
    let request_id = RequestId::new(format!("r{client}"));
    let tenant = tenant_of(&request_id);
    // Below six the question is asked by one client only.
    let canonical = if question < 6 {
        format!("alone {client}")
    } else {
        format!("question {question} {tokens}")
    };
    Request {
        request_hash: canonical.clone(),
        tenant,
        class: if question == 0 {
            Class::Batch
        } else {
            Class::Interactive
        },
        model: "model".to_owned(),
        canonical,
        stream: streamed,
        include_usage: false,
        prompt_tokens: TokenCount(4),
        requested_tokens: Some(TokenCount(u32::from(tokens))),
        temperature: Some(0.0),
        accepted_at: now,
        deadline,
        reply_to: Some(ingress.to_string()),
        idempotency_key: (client % 4 == 3).then(|| client.to_string()),
        batch: None,
        request_id,
    }
}
