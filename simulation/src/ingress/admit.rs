//! Clients ask. Under an idempotency key the sink is asked first, as the real ingress does it.

use rand::Rng;
use relay_lifecycle::{Follower, Patience, Transcript, binds_key, is_of_another_body};
use relay_schemas::{Class, Operation, Outcome, Request, RequestId, TimestampMs, TokenCount};

use super::{DEADLINE_GRACE_MS, Waiting, tenant_of};
use crate::client::{Client, ClientEnd, ClientRequest};
use crate::log::Append;
use crate::network::{Asker, Message};
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

const ASK_TIMEOUT_MS: i64 = 500;
/// Frames of a request with a key may go to another ingress: its silence lasts no longer, milliseconds.
const KEYED_SILENCE_MS: i64 = 250;
/// Below this a question is asked by one client only.
const SHARED_FROM: u8 = 6;

/// A model that the policy knows and no worker runs.
pub(crate) const ABSENT: &str = "absent";

/// A request under a key, while the sink is asked whether it has ended before.
pub(super) struct Admitting {
    request: Request,
    /// When it is accepted without an answer.
    pub until: TimestampMs,
}

impl World {
    /// A client asks.
    pub(crate) fn ask(&mut self, streamed: bool, tokens: u8, within: i64, question: u8) {
        let client = self.clients.len();
        let asked = ClientRequest {
            id: RequestId::new(format!("r{client}")),
            keyed: client % 4 == 3,
            question,
            tokens,
        };
        self.arrives(asked, streamed, within);
    }

    /// Somebody asks again what the n-th of the clients with a key asked.
    pub(crate) fn repeat(&mut self, earlier: usize, streamed: bool, within: i64) {
        if let Some(asked) = self.asked_under_a_key(earlier) {
            self.arrives(asked, streamed, within);
        }
    }

    /// Somebody asks something else under the key of the n-th of the clients with one.
    pub(crate) fn reuse(&mut self, earlier: usize, streamed: bool, within: i64) {
        if let Some(asked) = self.asked_under_a_key(earlier) {
            let tokens = asked.tokens + 1;
            self.arrives(ClientRequest { tokens, ..asked }, streamed, within);
        }
    }

    fn asked_under_a_key(&self, earlier: usize) -> Option<ClientRequest> {
        let keyed = self.clients.iter().filter(|client| client.asked.keyed);
        let keyed: Vec<&ClientRequest> = keyed.map(|client| &client.asked).collect();
        let which = earlier.checked_rem(keyed.len())?;
        Some(keyed[which].clone())
    }

    /// A request reaches the one or the other ingress.
    fn arrives(&mut self, asked: ClientRequest, streamed: bool, within: i64) {
        let number = self.random.random_range(0..2u8);
        let actor = Actor::Ingress(number);
        let dead = self.life(actor).epoch == 0;
        let deadline = self.now.plus_ms(within);
        let accepted_at = self.wall(actor);
        let request = request(&asked, number, streamed, accepted_at.plus_ms(within), accepted_at);
        let client = self.clients.len();
        let id = request.request_id.clone();
        let refused = dead || self.is_held_for_another_body(number, &request);
        self.clients.push(Client {
            id: asked.id.clone(),
            asked,
            request_hash: request.request_hash.clone(),
            seen: Transcript::default(),
            end: refused.then_some(ClientEnd::Error),
            deadline,
        });
        if refused {
            return;
        }
        let ingress = &mut self.ingresses[usize::from(number)];
        let runs_here = ingress.waiting_for(&id).next().is_some();
        if request.idempotency_key.is_none() || runs_here {
            return self.accept(number, client, request, !runs_here);
        }
        self.ask_sink(number, client, request);
    }

    /// Asks whether the request has ended before.
    fn ask_sink(&mut self, number: u8, client: usize, request: Request) {
        let actor = Actor::Ingress(number);
        let asker = Asker {
            ingress: actor,
            client,
        };
        let question = Message::AskWinner(request.request_id.clone(), asker);
        let until = self.now.plus_ms(ASK_TIMEOUT_MS);
        let admitting = Admitting { request, until };
        self.ingresses[usize::from(number)]
            .admitting
            .insert(client, admitting);
        self.send(actor, Actor::TraceSink, question);
        self.wake(actor, until);
    }

    /// Whether this ingress has somebody with another body under the same key.
    fn is_held_for_another_body(&self, number: u8, request: &Request) -> bool {
        let ingress = &self.ingresses[usize::from(number)];
        let mut holders = ingress.waiting.keys().chain(ingress.admitting.keys());
        self.sabotage != Sabotage::ForgetBodies
            && holders.any(|client| {
                let client = &self.clients[*client];
                client.asked.id == request.request_id && client.request_hash != request.request_hash
            })
    }

    /// Waits for the request, and publishes it unless this ingress waits for it already.
    pub(super) fn accept(&mut self, number: u8, client: usize, request: Request, publish: bool) {
        let actor = Actor::Ingress(number);
        let keyed = request.idempotency_key.is_some();
        let patience = Patience {
            silence_ms: if keyed {
                KEYED_SILENCE_MS
            } else {
                Patience::default().silence_ms
            },
            ..Patience::default()
        };
        let life_ms = request.deadline.since_ms(request.accepted_at);
        let timeline = self.timeline(actor);
        let due = timeline.steady_of(request.accepted_at, self.now).plus_ms(life_ms);
        let waiting = Waiting {
            id: request.request_id.clone(),
            follower: Follower::new(patience, request.stream, &request.request_hash, self.now),
            streamed: request.stream,
            keyed,
            until: due.plus_ms(DEADLINE_GRACE_MS),
            cancel_at: None,
        };
        let ingress = &mut self.ingresses[usize::from(number)];
        ingress.waiting.insert(client, waiting);
        if publish {
            self.append(actor, Append::Request(Box::new(request)));
        }
        self.wake(actor, self.now);
    }

    /// The sink has answered what it knows of a request that is being admitted; false if that is not what it was asked for.
    pub(super) fn admit(&mut self, number: u8, client: usize, winner: Option<&Outcome>) -> bool {
        let ingress = &mut self.ingresses[usize::from(number)];
        let Some(Admitting { mut request, until }) = ingress.admitting.remove(&client) else {
            return false;
        };
        match winner {
            // The answer about the try before came twice.
            Some(outcome) if outcome.request_id != request.request_id => {
                ingress.admitting.insert(client, Admitting { request, until });
            }
            Some(outcome)
                if self.sabotage == Sabotage::FreeKeys || !binds_key(outcome.status, outcome.usage) =>
            {
                request.request_id = next_try(&request.request_id);
                self.clients[client].id = request.request_id.clone();
                self.ask_sink(number, client, request);
            }
            Some(outcome) if is_of_another_body(outcome, &request.request_hash) => {
                self.clients[client].end.get_or_insert(ClientEnd::Error);
            }
            Some(outcome) => self.sees_recorded(client, outcome),
            None => {
                let runs_here = ingress.waiting_for(&request.request_id).next().is_some();
                self.accept(number, client, request, !runs_here);
            }
        }
        true
    }

    /// What the sink does not answer in time is accepted without.
    pub(super) fn admit_unanswered(&mut self, number: u8) {
        let ingress = &self.ingresses[usize::from(number)];
        let due = ingress
            .admitting
            .iter()
            .filter(|(_, admitting)| admitting.until <= self.now);
        let due: Vec<usize> = due.map(|(client, _)| *client).collect();
        for client in due {
            self.admit(number, client, None);
        }
    }
}

/// `r3`, `r3-1`, `r3-2`.
fn next_try(id: &RequestId) -> RequestId {
    let (key, number) = id.as_str().split_once('-').unwrap_or((id.as_str(), "0"));
    let number: u32 = number.parse().unwrap_or(0);
    RequestId::new(format!("{key}-{}", number + 1))
}

/// The question decides the body; the number of tokens is part of it, so equal texts have equal answers.
fn request(
    asked: &ClientRequest,
    ingress: u8,
    streamed: bool,
    deadline: TimestampMs,
    now: TimestampMs,
) -> Request {
    let ClientRequest {
        id,
        keyed,
        question,
        tokens,
    } = asked;
    let content = if *question < SHARED_FROM {
        format!("alone {id}")
    } else {
        format!("question {question}")
    };
    let model = match question {
        // A model that nobody has gets no plan.
        1 if *tokens < 3 => "nobody",
        // One that no worker runs gets a plan and nothing else.
        2 if *tokens < 5 => ABSENT,
        _ => "model",
    };
    let body = format!(
        r#"{{"max_tokens":{tokens},"messages":[{{"content":"{content}","role":"user"}}],"model":"{model}","temperature":0}}"#
    );
    Request {
        request_id: id.clone(),
        tenant: tenant_of(id),
        class: if *question == 0 {
            Class::Batch
        } else {
            Class::Interactive
        },
        model: model.to_owned(),
        operation: Operation::Chat,
        // Each text stands for its own hash.
        request_hash: body.clone(),
        body,
        stream: streamed,
        include_usage: false,
        prompt_tokens: TokenCount(4),
        requested_tokens: Some(TokenCount(u32::from(*tokens))),
        temperature: Some(0.0),
        accepted_at: now,
        deadline,
        reply_to: Some(ingress.to_string()),
        idempotency_key: keyed.then(|| id.to_string()),
        batch: None,
    }
}
