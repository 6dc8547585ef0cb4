//! Results out: of every batch request the first outcome becomes one record for the sender of the batch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::IntCounter;
use relay_api::response::Facts;
use relay_bus::{Headers, Outgoing, Partition, Record, header, topics};
use relay_lifecycle::{Broken, is_success};
use relay_runner::{Stage, StageError, Standing, Step, Winners, read_outcome};
use relay_schemas::{BatchRef, BatchResult, Outcome, Registry, RequestId, encode};

use super::name::{key_of, line_in_headers};
use crate::access::Access;
use crate::answers::end::{Account, End};
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
    /// What its access line says.
    type Effect = Box<Ended>;

    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError> {
        if let Some(id) = of_no_line(&record.headers) {
            self.winners.note(&id, record).await?;
            return Ok(Step::nothing());
        }
        let outcome = read_outcome(&self.schemas, record)?;
        let standing = self.winners.note(&outcome.request_id, record).await?;
        let Some(line) = line_of_outcome(&outcome, &record.headers) else {
            return Ok(Step::nothing());
        };
        if standing == Standing::Superseded {
            self.superseded.inc();
            return Ok(Step::nothing());
        }
        let end = End::recorded(&outcome);
        let result = result(&outcome, line, &end);
        let ended = Box::new(Ended::of(&outcome, &result, &end));
        Ok(Step::publish_then(outgoing(&result), ended))
    }

    /// A result that the log does not take, because JSON made it too large, leaves its sender without the answer but not
    /// without a result. An outcome that cannot be read is none: another one may follow.
    fn last_words(&self, record: &Record, _reason: &str) -> Vec<Outgoing> {
        let Ok(outcome) = read_outcome(&self.schemas, record) else {
            return Vec::new();
        };
        let end = End::Broken(Broken::Unavailable);
        let line = line_of_outcome(&outcome, &record.headers);
        let result = line.map(|line| {
            let result = result(&outcome, line, &end);
            Ended::of(&outcome, &result, &end).log();
            outgoing(&result)
        });
        result.into_iter().collect()
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        self.winners.keep(owned);
    }

    async fn after_ack(&self, ended: Box<Ended>) {
        self.handed_out.inc();
        ended.log();
    }
}

/// A line whose result is in the log, for its access line.
pub struct Ended {
    access: Access,
    latency: Duration,
}

impl Ended {
    fn of(outcome: &Outcome, result: &BatchResult, end: &End) -> Self {
        let request = outcome.request.as_ref();
        let took = |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let access = Access {
            id: Some(outcome.request_id.clone()),
            line: Some(line_of(result)),
            tenant: Some(outcome.tenant.clone()),
            key: None,
            operation: request.map(|request| request.operation),
            model: request.map(|request| request.model.clone()),
            status: u16::try_from(result.status_code).unwrap_or_default(),
            code: failure::code_of(end),
            ttft: outcome.timings.ttft_ms.map(took),
            usage: outcome.usage,
            account: Some(Account::of(outcome)),
        };
        Self {
            access,
            latency: took(outcome.timings.latency_ms),
        }
    }

    fn log(&self) {
        self.access.log(self.latency);
    }
}

fn line_of(result: &BatchResult) -> BatchRef {
    BatchRef {
        batch_id: result.batch_id.clone(),
        custom_id: result.custom_id.clone(),
    }
}

/// Whose outcome it is, where the headers alone say that it is no line's: most are, and need not be read.
fn of_no_line(headers: &Headers) -> Option<RequestId> {
    let is_whole = headers.get(header::DAMAGED).is_none();
    let is_line = headers.get(header::BATCH_ID).is_some();
    headers.request_id().filter(|_| is_whole && !is_line)
}

/// The line that an outcome is of; `None` for others. Where only the headers of a record could be read, they name the line.
fn line_of_outcome(outcome: &Outcome, headers: &Headers) -> Option<BatchRef> {
    match &outcome.request {
        Some(request) => request.batch.clone(),
        None => line_in_headers(headers),
    }
}

/// The result of a batch line.
fn result(outcome: &Outcome, line: BatchRef, end: &End) -> BatchResult {
    let request = outcome.request.as_ref();
    let ran = outcome.answer.as_ref().map_or("", |answer| &answer.model);
    let facts = Facts {
        request_id: outcome.request_id.as_str(),
        // Where only the headers of the request could be read, what ran is all that is known.
        model: request.map_or(ran, |request| &request.model),
        created: request.map_or(outcome.ended_at, |request| request.accepted_at).0 / 1_000,
    };
    let (status_code, body) = body(outcome, facts, end);
    BatchResult {
        tenant: outcome.tenant.clone(),
        batch_id: line.batch_id,
        custom_id: line.custom_id,
        request_id: outcome.request_id.clone(),
        status_code,
        body,
        ended_at: outcome.ended_at,
    }
}

fn outgoing(result: &BatchResult) -> Outgoing {
    let mut headers = Headers::of_line(&result.tenant, &line_of(result));
    headers.set(header::REQUEST_ID, result.request_id.as_str().to_owned());
    let key = key_of(&result.tenant, &result.batch_id);
    Outgoing::keyed(topics::BATCH_RESULTS, key, headers, encode(result))
}

/// What the same request would have got over HTTP.
fn body(outcome: &Outcome, facts: Facts<'_>, end: &End) -> (u32, String) {
    let request = outcome.request.as_ref();
    let form = request.map_or(Form::Chat, |request| Form::of(request.operation, &request.body));
    match end {
        End::Finished { end, content } if is_success(end.status) => (200, form.whole(facts, end, content)),
        end => {
            let refusal = failure::of(end, false);
            (u32::from(refusal.status), refusal.body())
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn an_outcome_is_passed_over_unread_only_where_its_headers_are_whole_and_name_no_batch() {
        let request = samples::request();
        let others = Headers::of(&request);
        assert_eq!(of_no_line(&others), Some(request.request_id.clone()));
        let mut damaged = others.clone();
        damaged.set(header::DAMAGED, "there");
        let line = Some(BatchRef {
            batch_id: "nightly".to_owned(),
            custom_id: "7".to_owned(),
        });
        let of_line = Headers::of(&relay_schemas::Request {
            batch: line,
            ..request
        });
        for headers in [Headers::default(), damaged, of_line] {
            assert_eq!(of_no_line(&headers), None, "{headers:?}");
        }
    }
}
