//! Clients ask. Under an idempotency key the sink is asked first, as the real ingress does it.

use rand::Rng;
use relay_lifecycle::{Follower, Patience, Transcript, is_of_another_body};
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
        let request = request(&asked, number, streamed, deadline, self.now);
        let client = self.clients.len();
        let id = request.request_id.clone();
        let refused = dead || self.is_held_for_another_body(number, &request);
        self.clients.push(Client {
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
        let until = self.now.plus_ms(ASK_TIMEOUT_MS);
        ingress.admitting.insert(client, Admitting { request, until });
        let question = Message::AskWinner(
            id,
            Asker {
                ingress: actor,
                client,
            },
        );
        self.send(actor, Actor::TraceSink, question);
        self.wake(actor, until);
    }

    /// Whether this ingress has somebody with another body under the same key.
    fn is_held_for_another_body(&mut self, number: u8, request: &Request) -> bool {
        let ingress = &self.ingresses[usize::from(number)];
        let waiting = ingress
            .waiting
            .iter()
            .map(|(client, waiting)| (client, &waiting.id));
        let admitting = ingress.admitting.iter();
        let admitting = admitting.map(|(client, admitting)| (client, &admitting.request.request_id));
        let mut holders = waiting.chain(admitting);
        self.sabotage != Sabotage::ForgetBodies
            && holders.any(|(client, id)| {
                *id == request.request_id && self.clients[*client].request_hash != request.request_hash
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
        let waiting = Waiting {
            id: request.request_id.clone(),
            follower: Follower::new(
                patience,
                request.stream,
                &request.request_hash,
                request.accepted_at,
            ),
            streamed: request.stream,
            keyed,
            until: request.deadline.plus_ms(DEADLINE_GRACE_MS),
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
        let Some(Admitting { request, .. }) = ingress.admitting.remove(&client) else {
            return false;
        };
        match winner {
            Some(outcome) if is_of_another_body(outcome, &request.request_hash) => {
                self.clients[client].end.get_or_insert(ClientEnd::Error);
            }
            Some(outcome) => self.sees_recorded(client, outcome),
            None => self.accept(number, client, request, true),
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
    // A model that nobody has gets no plan.
    let model = if *question == 1 && *tokens < 3 {
        "nobody"
    } else {
        "model"
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
