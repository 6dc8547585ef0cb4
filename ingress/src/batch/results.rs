//! Results out: of every batch request the first outcome becomes one record for whoever sent the batch.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::{Headers, Outgoing, Partition, Record, decode, topics};
use relay_lifecycle::{Broken, final_of, is_success};
use relay_runner::{Stage, StageError, Standing, Step, Winners};
use relay_schemas::{BatchResult, Outcome, encode};

use super::name::name_in_headers;
use crate::answer::{self, Facts};
use crate::gateway::Gateway;
use crate::refusal;
use crate::slot::End;

/// The stage.
pub struct Results {
    gateway: Arc<Gateway>,
    winners: Winners,
}

impl Results {
    /// Hands results out for `gateway`.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let (bus, schemas) = (gateway.runtime.bus.clone(), gateway.runtime.schemas.clone());
        let winners = Winners::new(bus, schemas, gateway.config.batch.remembered);
        Self { gateway, winners }
    }
}

#[async_trait]
impl Stage for Results {
    type Effect = ();

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        let outcome: Outcome = decode(&self.gateway.runtime.schemas, record)?;
        let standing = self.winners.note(&outcome.request_id, &record.position).await?;
        let Some(result) = result(&outcome, &record.headers) else {
            return Ok(Step::nothing());
        };
        if standing == Standing::Superseded {
            self.gateway.metrics.superseded.inc();
            return Ok(Step::nothing());
        }
        let key = result.batch_id.clone();
        let headers = outcome.request.as_ref().map(Headers::of).unwrap_or_default();
        let record = Outgoing::keyed(topics::BATCH_RESULTS, key, headers, encode(&result));
        Ok(Step::publish_then(record, ()))
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        self.winners.keep(owned);
    }

    async fn after_ack(&self, (): ()) {
        self.gateway.metrics.batch_results.inc();
    }
}

/// The result of a batch request; `None` for others. Where only the headers of a record could be read, they name the line.
fn result(outcome: &Outcome, headers: &Headers) -> Option<BatchResult> {
    let request = outcome.request.as_ref();
    let line = match request {
        Some(request) => request.batch.clone(),
        None => name_in_headers(headers),
    }?;
    let facts = Facts {
        request_id: outcome.request_id.as_str(),
        model: request.map_or("", |request| &request.model),
        created: request.map_or(outcome.ended_at, |request| request.accepted_at).0 / 1_000,
    };
    let (status_code, body) = body(outcome, facts);
    Some(BatchResult {
        batch_id: line.batch_id,
        custom_id: line.custom_id,
        request_id: outcome.request_id.clone(),
        status_code,
        body,
        ended_at: outcome.ended_at,
    })
}

/// What the same request would have got over HTTP.
fn body(outcome: &Outcome, facts: Facts<'_>) -> (u32, String) {
    let end = final_of(outcome);
    let text = match &outcome.answer {
        Some(answer) if answer.text_dropped => return failure(&End::Broken(Broken::Unavailable)),
        Some(answer) => answer.text.as_str(),
        None => "",
    };
    if is_success(end.status) {
        return (200, answer::completion(facts, &end, text));
    }
    failure(&End::Finished {
        end,
        text: String::new(),
    })
}

fn failure(end: &End) -> (u32, String) {
    let refusal = refusal::of(end, false);
    (u32::from(refusal.status), refusal.body())
}
