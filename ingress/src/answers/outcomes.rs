//! Reads from the log how requests end. The first outcome of a request in the log is its winner, and no frame can tell that
//! it was the first: so every ingress reads on in all of `relay.outcomes.v1`, and decodes what a client here waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::{BusError, Partition, Record, topics};
use relay_runner::{Backoff, Follow, Runtime, Tail, ends, read_outcome};

use super::routes::Routes;
use super::seen::Seen;
use crate::cluster::readiness::{Dependency, Readiness};

/// Pauses between two tries to reach the log.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// Most reads that wait to be taken.
const BATCHES: usize = 16;

/// Reads outcomes for the answers that are waited for.
pub struct Outcomes {
    /// The log, other writers' schemas, and when an outcome was read.
    pub runtime: Runtime,
    /// The answers.
    pub routes: Arc<Routes>,
    /// Which it has read lately.
    pub seen: Arc<Mutex<Seen>>,
    /// Told whether the log is read.
    pub readiness: Arc<Readiness>,
}

impl Outcomes {
    /// Reads on from where the outcomes end when it is called, whatever interrupts it: no outcome after that is passed over,
    /// as the first one read is believed to be the first. Returns what waiting does not mend; dropped at the end.
    pub async fn follow(self) -> BusError {
        let mut next = BTreeMap::new();
        let mut backoff = Backoff::new(FIRST, LONGEST, &self.runtime.chance);
        loop {
            if let Err(error) = self.read(&mut next).await {
                self.readiness
                    .report(Dependency::Outcomes, Err(error.to_string()));
                if !error.may_pass() {
                    return error;
                }
            }
            backoff.wait().await;
        }
    }

    async fn read(&self, next: &mut BTreeMap<Partition, i64>) -> Result<(), BusError> {
        if next.is_empty() {
            *next = ends(&*self.runtime.bus, topics::OUTCOMES)
                .await?
                .into_iter()
                .collect();
            let mut seen = self.seen.lock();
            for (partition, offset) in next.iter() {
                seen.begin(partition.partition, *offset);
            }
        }
        let readiness = Arc::clone(&self.readiness);
        let report = move |result: Result<(), &str>| {
            readiness.report(Dependency::Outcomes, result.map_err(str::to_owned));
        };
        let mut tail = Tail::open(
            &self.runtime,
            Follow::topics(next.clone()),
            BATCHES,
            Backoff::new(FIRST, LONGEST, &self.runtime.chance),
            Box::new(report),
        );
        loop {
            for record in tail.next().await? {
                next.insert(record.position.partition.clone(), record.position.offset + 1);
                self.on_record(&record);
            }
        }
    }

    fn on_record(&self, record: &Record) {
        let Some(request) = record.headers.request_id() else {
            return;
        };
        // First, so that whoever begins to wait is told of it, or finds it here.
        let at = &record.position;
        self.seen.lock().note(at.partition.partition, at.offset, &request);
        let waiting = self.routes.waiting(&request);
        if waiting.is_empty() {
            return;
        }
        // What cannot be read is no outcome, for no service; but then the sink may have read it in a schema not known here yet.
        let outcome = read_outcome(&self.runtime.schemas, record)
            .inspect_err(|error| tracing::warn!(request.id = %request, %error, "an unreadable outcome"))
            .ok()
            .filter(|outcome| outcome.request_id == request);
        for pending in waiting {
            pending.on_outcome(outcome.as_deref(), self.runtime.clock.steady());
        }
    }
}
