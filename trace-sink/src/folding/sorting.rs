//! What a batch holds: outcomes, and records that become dead letters.

use relay_bus::{BusError, Record, header, traceparent_of};
use relay_runner::{
    Backoff, Runtime, decode_known, dependency, read_outcome, refresh_schemas, retry_forever,
};
use relay_store::LoggedOutcome;

use super::ground::{AGAIN, LONGEST};

/// A record that cannot be used, and why.
pub(super) struct Dead {
    pub record: Record,
    pub reason: String,
}

/// A batch, sorted.
#[derive(Default)]
pub(super) struct Sorted {
    pub outcomes: Vec<LoggedOutcome>,
    pub dead: Vec<Dead>,
}

/// Reads a batch. A damaged outcome is an end all the same, and what is left of it is a dead letter.
pub(super) async fn sort(runtime: &Runtime, batch: &[Record]) -> Result<Sorted, BusError> {
    let mut sorted = Sorted::default();
    for record in batch {
        let read = read(runtime, record).await?;
        let damaged = record.headers.text(header::DAMAGED).map(str::to_owned);
        if let Some(reason) = damaged.or(read.as_ref().err().cloned()) {
            let record = record.clone();
            sorted.dead.push(Dead { record, reason });
        }
        sorted.outcomes.extend(read.ok());
    }
    Ok(sorted)
}

/// What cannot be decoded is no outcome; a schema that is unknown is looked up once.
async fn read(runtime: &Runtime, record: &Record) -> Result<Result<LoggedOutcome, String>, BusError> {
    let backoff = Backoff::new(AGAIN.0, LONGEST, &runtime.chance);
    let refresh = || refresh_schemas(&*runtime.bus, &runtime.schemas);
    let ask = || retry_forever(&runtime.health, dependency::BUS, backoff, refresh);
    let outcome = decode_known(|| read_outcome(&runtime.schemas, record), ask).await?;
    let position = &record.position;
    let traceparent = traceparent_of(&record.headers);
    let logged = |outcome| LoggedOutcome {
        traceparent,
        outcome,
        partition: position.partition.partition,
        offset: position.offset,
    };
    Ok(outcome.map(logged).map_err(|error| error.to_string()))
}
