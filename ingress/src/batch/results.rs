//! Results out: of every batch request the first outcome becomes one record for the sender of the batch.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::IntCounter;
use relay_api::response::Facts;
use relay_bus::{Headers, Outgoing, Partition, Record, header, topics};
use relay_lifecycle::{Broken, is_success};
use relay_runner::{Stage, StageError, Standing, Step, Winners, read_outcome};
use relay_schemas::{BatchRef, BatchResult, Outcome, Registry, encode};

use super::name::{key_of, line_in_headers};
use crate::answers::end::End;
use crate::answers::failure;
use crate::answers::form::Form;

/// The stage.
pub struct Results {
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// Which outcome of a request was its first.
    pub winners: Winners,
    /// Counts outcomes that another one had preceded.
    pub superseded: IntCounter,
    /// Counts results.
    pub handed_out: IntCounter,
}

#[async_trait]
impl Stage for Results {
    type Effect = ();

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        let outcome = read_outcome(&self.schemas, record)?;
        let standing = self.winners.note(&outcome.request_id, &record.position).await?;
        let Some(result) = result(&outcome, &record.headers) else {
            return Ok(Step::nothing());
        };
        if standing == Standing::Superseded {
            self.superseded.inc();
            return Ok(Step::nothing());
        }
        Ok(Step::publish_then(outgoing(&result), ()))
    }

    /// A result that the log does not take, because JSON made it too large, leaves its sender without the answer but not
    /// without a result. An outcome that cannot be read is none: another one may follow.
    fn last_words(&self, record: &Record, _reason: &str) -> Vec<Outgoing> {
        let Ok(outcome) = read_outcome(&self.schemas, record) else {
            return Vec::new();
        };
        let result = result(&outcome, &record.headers).map(|result| {
            let (status_code, body) = failed(&End::Broken(Broken::Unavailable));
            BatchResult {
                status_code,
                body,
                ..result
            }
        });
        result.as_ref().map(outgoing).into_iter().collect()
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        self.winners.keep(owned);
    }

    async fn after_ack(&self, (): ()) {
        self.handed_out.inc();
    }
}

/// The result of a batch request; `None` for others. Where only the headers of a record could be read, they name the line.
fn result(outcome: &Outcome, headers: &Headers) -> Option<BatchResult> {
    let request = outcome.request.as_ref();
    let line = match request {
        Some(request) => request.batch.clone(),
        None => line_in_headers(headers),
    }?;
    let ran = outcome.answer.as_ref().map_or("", |answer| &answer.model);
    let facts = Facts {
        request_id: outcome.request_id.as_str(),
        // Where only the headers of the request could be read, what ran is all that is known.
        model: request.map_or(ran, |request| &request.model),
        created: request.map_or(outcome.ended_at, |request| request.accepted_at).0 / 1_000,
    };
    let (status_code, body) = body(outcome, facts);
    Some(BatchResult {
        tenant: outcome.tenant.clone(),
        batch_id: line.batch_id,
        custom_id: line.custom_id,
        request_id: outcome.request_id.clone(),
        status_code,
        body,
        ended_at: outcome.ended_at,
    })
}

fn outgoing(result: &BatchResult) -> Outgoing {
    let line = BatchRef {
        batch_id: result.batch_id.clone(),
        custom_id: result.custom_id.clone(),
    };
    let mut headers = Headers::of_line(&result.tenant, &line);
    headers.set(header::REQUEST_ID, result.request_id.as_str().to_owned());
    let key = key_of(&result.tenant, &result.batch_id);
    Outgoing::keyed(topics::BATCH_RESULTS, key, headers, encode(result))
}

/// What the same request would have got over HTTP.
fn body(outcome: &Outcome, facts: Facts<'_>) -> (u32, String) {
    let request = outcome.request.as_ref();
    let form = request.map_or(Form::Chat, |request| Form::of(request.operation, &request.body));
    match End::recorded(outcome) {
        End::Finished { end, content } if is_success(end.status) => (200, form.whole(facts, &end, &content)),
        end => failed(&end),
    }
}

fn failed(end: &End) -> (u32, String) {
    let refusal = failure::of(end, false);
    (u32::from(refusal.status), refusal.body())
}
