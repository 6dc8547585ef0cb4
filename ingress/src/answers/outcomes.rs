//! Reads from the log how requests end. The first outcome of a request in the log is its winner, and no frame can tell that
//! it was the first: so every ingress reads on in all of `relay.outcomes.v1`, and decodes what a client here waits for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, BusError, Partition, Record, StartAt, decode, topics};
use relay_clock::Clock;
use relay_schemas::{Outcome, Registry};

use super::routes::Routes;
use crate::cluster::readiness::{Dependency, Readiness};

const AGAIN: Duration = Duration::from_millis(500);

/// The next offset to read, by partition.
type Places = BTreeMap<Partition, i64>;

/// Reads outcomes for the answers that are waited for.
pub struct Outcomes {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// The answers.
    pub routes: Arc<Routes>,
    /// Told whether the log is read.
    pub readiness: Arc<Readiness>,
    /// When an outcome was read.
    pub clock: Clock,
}

impl Outcomes {
    /// Reads on from where the outcomes end when it is called, whatever interrupts it. Never returns; dropped at the end.
    pub async fn follow(self) {
        let mut places = Places::new();
        loop {
            let Err(error) = self.read(&mut places).await;
            self.readiness
                .report(Dependency::Outcomes, Err(error.to_string()));
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn read(&self, places: &mut Places) -> Result<Infallible, BusError> {
        if places.is_empty() {
            *places = self.ends().await?;
        }
        let from = places
            .iter()
            .map(|(partition, next)| (partition.clone(), StartAt::Offset(*next)));
        let mut outcomes = self.bus.read(from.collect()).await?;
        loop {
            self.readiness.report(Dependency::Outcomes, Ok(()));
            let records = match outcomes.next().await {
                // The reader finds back by itself.
                Err(BusError::Unavailable(reason)) => {
                    self.wait(reason).await;
                    continue;
                }
                records => records?,
            };
            for record in records {
                if let Some(next) = places.get_mut(&record.position.partition) {
                    *next = record.position.offset + 1;
                }
                self.on_record(&record);
            }
        }
    }

    /// Until the log answers again.
    async fn wait(&self, reason: String) {
        self.readiness.report(Dependency::Outcomes, Err(reason));
        loop {
            tokio::time::sleep(AGAIN).await;
            if self.bus.probe().await.is_ok() {
                return;
            }
        }
    }

    async fn ends(&self) -> Result<Places, BusError> {
        let mut places = Places::new();
        for partition in 0..self.bus.partitions(topics::OUTCOMES).await? {
            let partition = Partition::new(topics::OUTCOMES, partition);
            let end = self.bus.range(&partition).await?.high;
            places.insert(partition, end);
        }
        Ok(places)
    }

    fn on_record(&self, record: &Record) {
        let Some(request) = record.headers.request_id() else {
            return;
        };
        let waiting = self.routes.waiting(&request);
        if waiting.is_empty() {
            return;
        }
        // What cannot be read is no outcome, for no service; but then the sink may have read it in a schema not known here yet.
        let outcome = decode::<Outcome>(&self.schemas, record)
            .inspect_err(|error| tracing::warn!(request.id = %request, %error, "an unreadable outcome"))
            .ok()
            .filter(|outcome| outcome.request_id == request);
        for pending in waiting {
            pending.on_outcome(outcome.as_ref(), self.clock.now());
        }
    }
}
