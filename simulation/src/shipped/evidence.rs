//! Reads what a run left behind: in the log, and in the tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_bus::simulated::Column;
use relay_bus::{Bus, BusError, Partition, Record, StartAt, topics};
use relay_clock::Life;
use relay_schemas::{Outcome, Request, RequestId, decode};
use relay_store::Tables;

use super::stand::Stand;

/// Reads on in the log, from its start.
pub(crate) struct Evidence {
    bus: Arc<dyn Bus>,
    tables: Tables,
    next: BTreeMap<Partition, i64>,
    /// As they were accepted, each once.
    pub requests: BTreeMap<RequestId, Request>,
    /// Of each request, in the order of the log.
    pub outcomes: BTreeMap<RequestId, Vec<Outcome>>,
    /// Who won, as the tables have it.
    pub winners: BTreeMap<RequestId, Arc<Outcome>>,
}

impl Evidence {
    /// Nothing read yet.
    pub fn new(stand: &Stand) -> Self {
        let life = Arc::new(Life::default());
        Self {
            bus: Arc::new(
                stand
                    .log
                    .process("evidence", Arc::clone(&life), Column::InProcess),
            ),
            tables: stand.tables.process(life),
            next: BTreeMap::new(),
            requests: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            winners: BTreeMap::new(),
        }
    }

    /// Reads what came since. Whether all that was accepted has ended, and the tables know how.
    pub async fn is_whole(&mut self) -> Result<bool, BusError> {
        for record in self.read(topics::REQUESTS).await? {
            let request: Request = decoded(&record);
            self.requests.entry(request.request_id.clone()).or_insert(request);
        }
        for record in self.read(topics::OUTCOMES).await? {
            let outcome: Outcome = decoded(&record);
            self.outcomes
                .entry(outcome.request_id.clone())
                .or_default()
                .push(outcome);
        }
        for id in self.requests.keys() {
            if !self.winners.contains_key(id)
                && let Ok(Some(winner)) = self.tables.traces.find(id).await
            {
                self.winners.insert(id.clone(), winner.outcome);
            }
        }
        let has_ended = |id| self.outcomes.contains_key(id) && self.winners.contains_key(id);
        Ok(self.requests.keys().all(has_ended))
    }

    async fn read(&mut self, topic: &str) -> Result<Vec<Record>, BusError> {
        let mut records = Vec::new();
        for number in 0..self.bus.partitions(topic).await? {
            let partition = Partition::new(topic, number);
            let next = self.next.get(&partition).copied().unwrap_or(0);
            let high = self.bus.range(&partition).await?.high;
            if next >= high {
                continue;
            }
            let from = vec![(partition.clone(), StartAt::Offset(next))];
            let mut reader = self.bus.read(from).await?;
            let mut to = next;
            while to < high {
                let more = reader.next().await?;
                to = more.last().map_or(to, |last| last.position.offset + 1);
                records.extend(more);
            }
            self.next.insert(partition, to);
        }
        Ok(records)
    }
}

fn decoded<T: relay_schemas::Record>(record: &Record) -> T {
    decode(record.value.as_deref().unwrap_or_default()).expect("services write what can be read")
}
