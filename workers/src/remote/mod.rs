//! Models behind an OpenAI-compatible endpoint.
//!
//! `request` is what is asked, `reading` the answer as it comes: `sse` cuts it into events, `events` reads them, `choice`, `end` and
//! `vectors` what they say, `answer` gathers it: `spoken` of it is what a choice has said, `calls` are its tool calls, `arguments` tells
//! when theirs are whole, `beside` is what came along. `error` and `retry_after` say what a refusal means, `budget` how often is
//! tried again, `endpoint` holds the connection, `sent` tells when a request is on its way. This module tries until the end is known. All but `endpoint`, `reading`, `sent`
//! and this are pure.

mod answer;
mod arguments;
mod beside;
mod budget;
mod calls;
mod choice;
mod end;
mod endpoint;
mod error;
mod events;
mod reading;
mod request;
mod retry_after;
mod sent;
mod spoken;
mod sse;
mod vectors;

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::{Chance, backoff};
use relay_schemas::Work;
use tokio::sync::Semaphore;

pub use self::beside::MOST_BESIDE;
use self::budget::RetryBudget;
use self::endpoint::Endpoint;
use self::error::Failed;
pub use self::reading::Counters;
use self::reading::{Patience, Reading};
use self::request::Question;
use self::sent::TellingBody;
use crate::backend::{Backend, Code, Failure, Finished};
use crate::emitter::Emitter;
use crate::meter::Sent;
use crate::models::RemoteSpec;

/// The first wait before another try, and the longest: an endpoint that wants to be left alone for longer is not asked again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A model behind an endpoint.
pub struct RemoteModel {
    spec: RemoteSpec,
    endpoint: Endpoint,
    slots: Semaphore,
    budget: Mutex<RetryBudget>,
    clock: Clock,
    chance: Chance,
    counters: Counters,
}

impl RemoteModel {
    /// Prepares the connections; opens none.
    ///
    /// # Errors
    /// In words, if the configuration cannot work: the key's variable is not set, or holds what no header can.
    pub fn new(spec: RemoteSpec, clock: Clock, chance: Chance, counters: Counters) -> Result<Self, String> {
        Ok(Self {
            endpoint: Endpoint::new(&spec, |name| std::env::var(name).ok(), clock.clone())?,
            slots: Semaphore::new(spec.max_concurrent),
            budget: Mutex::new(RetryBudget::default()),
            spec,
            clock,
            chance,
            counters,
        })
    }

    /// One try.
    async fn attempt(
        &self,
        work: &Work,
        question: &Question,
        patience: Patience,
        out: &mut Emitter,
    ) -> Result<Finished, Failed> {
        // An estimate: what ingress estimated of the prompt, and a token for each piece of text.
        let sent = out.asks(work.request.prompt_tokens.0);
        let ended = self.ask(work, question, sent, patience, out).await;
        match &ended {
            Err(failed) if failed.said && !out.has_begun() => out.refused(),
            Ok(_) | Err(_) => out.answered(),
        }
        ended
    }

    async fn ask(
        &self,
        work: &Work,
        question: &Question,
        sent: Sent,
        patience: Patience,
        out: &mut Emitter,
    ) -> Result<Finished, Failed> {
        let body = TellingBody::new(question.body.clone(), sent, self.clock.clone());
        let asked = self.endpoint.send(
            work.request.operation,
            body,
            question.whole,
            patience.left(&self.clock),
            &self.spec,
            out.traceparent(),
        );
        let response = asked.await?;
        let reading = Reading {
            endpoint: &self.endpoint,
            spec: &self.spec,
            clock: &self.clock,
            question,
            patience,
            counters: &self.counters,
        };
        reading.read(response, out).await
    }

    /// What is left until the deadline.
    fn left(&self, work: &Work) -> Duration {
        let deadline = work.planning.plan.deadline.min(work.request.deadline);
        let now = self.clock.now_for(work.request.accepted_at);
        Duration::from_millis(u64::try_from(deadline.since_ms(now)).unwrap_or(0))
    }

    /// How long is waited for the first bytes of a stream, each time; of an answer in one piece for all of it, however often it is asked
    /// for. Another candidate that could be asked then still has as much time.
    fn patience(&self, work: &Work, question: &Question, out: &Emitter) -> Duration {
        match question.whole {
            true if out.others_left() => self.spec.answer_timeout.min(self.left(work) / 2),
            true => self.spec.answer_timeout,
            false => self.spec.first_byte_timeout,
        }
    }

    /// How long to wait before the try after `tried` that failed; nothing, where there is none.
    fn wait(&self, failed: &Failed, tried: u32, work: &Work) -> Option<Duration> {
        if !failed.passing || tried > self.spec.retries {
            return None;
        }
        let wait = backoff(FIRST_WAIT, LONGEST_WAIT, tried, self.chance.draw());
        let wait = wait.max(failed.failure.retry_after.unwrap_or_default());
        // What would outlast the deadline is told now, with the time to come back.
        let in_time = wait <= LONGEST_WAIT && wait < self.left(work);
        (in_time && self.budget.lock().spend()).then_some(wait)
    }

    async fn tries(&self, work: &Work, question: &Question, out: &mut Emitter) -> Result<Finished, Failure> {
        let mut tried = 0;
        let mut begun = false;
        let mut patience = Patience {
            since: self.clock.instant(),
            most: self.patience(work, question, out),
        };
        loop {
            if !question.whole {
                patience.since = self.clock.instant();
            }
            let mut failed = match self.attempt(work, question, patience, out).await {
                Ok(finished) => return Ok(finished),
                Err(failed) => failed,
            };
            tried += 1;
            begun |= failed.failure.begun;
            failed.failure.begun = begun;
            if out.has_begun() {
                return Err(failed.failure);
            }
            match self.wait(&failed, tried, work) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(failed.told()),
            }
        }
    }
}

#[async_trait]
impl Backend for RemoteModel {
    async fn run(&self, work: &Work, out: &mut Emitter) -> Result<Finished, Failure> {
        let decoding = &work.planning.plan.decoding;
        let question = request::question(&work.request, &self.spec, decoding, self.left(work))
            .map_err(|_| Failure::new(Code::InvalidRequest, "the request is no JSON object"))?;
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        self.budget.lock().earn();
        self.tries(work, &question, out).await
    }

    fn turns(&self) -> u32 {
        u32::try_from(self.spec.max_concurrent).unwrap_or(u32::MAX)
    }

    fn version(&self) -> &str {
        &self.spec.upstream_model
    }
}
