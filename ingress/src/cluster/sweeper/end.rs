//! Ends what is overdue.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use prometheus::IntCounter;
use relay_bus::{Bus, BusError, Headers, Outgoing, Partition, Record, header, read, topics};
use relay_clock::Clock;
use relay_lifecycle::{Known, Overdue, Unended, end};
use relay_runner::{Stretch, carried_headers, outcome_record, read_outcome};
use relay_schemas::{DecodeError, OutcomeStatus, Registry, Request, RequestId, Run};

use crate::answers::questions::{CannotTell, Questions, Told};

/// As every service says it whose request's deadline has passed.
const CODE: &str = "deadline_exceeded";
const MESSAGE: &str =
    "the deadline passed, and no service had ended the request: the sweeper of the ingress did";

/// Longest wait for the record of one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes outcomes.
pub(super) struct Ending {
    pub bus: Arc<dyn Bus>,
    pub schemas: Arc<Registry>,
    pub run: Run,
    pub questions: Questions,
    pub swept: IntCounter,
    pub clock: Clock,
}

impl Ending {
    /// Which open request a record of `outcomes` ends. What cannot be read is no outcome, for no service; one in a schema that is not
    /// known here yet may be one for others.
    pub(super) fn ends(&self, record: &Record, unended: &Unended) -> Option<RequestId> {
        let id = record.headers.request_id().filter(|id| unended.contains(id))?;
        match read_outcome(&self.schemas, record) {
            Ok(outcome) => (outcome.request_id == id).then_some(id),
            Err(DecodeError::UnknownSchema(_)) => Some(id),
            Err(_) => None,
        }
    }

    /// Ends `overdue`, but for what the sink says has ended long ago: a repeat under a key is accepted anew and then dropped.
    /// What no sink can tell of is left to the next round: the log may no longer hold how it ended, and rebuilt tables would
    /// take this end for the first. Says which have an outcome now.
    pub(super) async fn end(&self, overdue: &[Overdue]) -> Result<Vec<RequestId>, BusError> {
        let told = join_all(overdue.iter().map(|overdue| self.questions.winner(&overdue.id))).await;
        let mut ended = Vec::new();
        let mut swept = 0_u64;
        for (overdue, told) in overdue.iter().zip(told) {
            match told {
                Err(CannotTell) => continue,
                Ok(Told::Ended(_) | Told::Forgotten) => {}
                Ok(Told::Unended(_)) => {
                    self.end_one(overdue).await?;
                    self.swept.inc();
                    swept += 1;
                }
            }
            ended.push(overdue.id.clone());
        }
        if let Some(first) = overdue.first().filter(|_| swept > 0) {
            tracing::warn!(
                requests.swept = swept,
                request.id = %first.id,
                "accepted requests were forgotten and are ended as expired: a record was lost between two services, or one of \
                 them stands still"
            );
        }
        Ok(ended)
    }

    async fn end_one(&self, overdue: &Overdue) -> Result<(), BusError> {
        let record = self.record_of(overdue).await?;
        let request = record
            .as_ref()
            .and_then(|record| read::<Request>(&self.schemas, record).ok());
        let headers = record
            .as_ref()
            .map_or_else(|| named(overdue), |record| carried_headers(&record.headers));
        let known = match &request {
            Some(request) => Known::Request(request),
            None => Known::Headers(&overdue.id, &overdue.tenant),
        };
        match self.publish(self.outgoing(known, headers.clone())).await {
            Err(BusError::TooLarge { .. }) => {
                let known = Known::Headers(&overdue.id, &overdue.tenant);
                self.publish(self.outgoing(known, headers)).await
            }
            published => published,
        }
    }

    /// The record that accepted it, unless the log holds it no more or does not give it back: what its headers said is known.
    async fn record_of(&self, overdue: &Overdue) -> Result<Option<Record>, BusError> {
        let (number, offset) = overdue.place;
        let partition = Partition::new(topics::REQUESTS, number);
        let held = self.bus.range(&partition).await?;
        if offset < held.low || held.high <= offset {
            return Ok(None);
        }
        let reading = async {
            let mut stretch = Stretch::between(&*self.bus, partition, offset, offset + 1).await?;
            stretch.next().await
        };
        // Retention may have let it go just now, and then nothing comes.
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Ok(None))
    }

    fn outgoing(&self, known: Known<'_>, headers: Headers) -> Outgoing {
        let ending = relay_lifecycle::Ending::because(OutcomeStatus::Expired, CODE, MESSAGE);
        let outcome = end(known, self.run.clone(), ending, self.clock.now());
        outcome_record(&Arc::new(outcome), headers)
    }

    async fn publish(&self, outcome: Outgoing) -> Result<(), BusError> {
        self.bus.publish(vec![outcome], Vec::new()).await.map(drop)
    }
}

fn named(overdue: &Overdue) -> Headers {
    let mut headers = Headers::default();
    headers.set(header::REQUEST_ID, overdue.id.as_str().to_owned());
    headers.set(header::TENANT, overdue.tenant.as_str().to_owned());
    if let Some(batch) = &overdue.batch {
        headers.set(header::BATCH_ID, batch.batch_id.clone());
        headers.set(header::CUSTOM_ID, batch.custom_id.clone());
    }
    headers
}
