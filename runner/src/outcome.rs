//! The record that ends a request, and what is read back from one.

use std::sync::Arc;

use relay_bus::topics::OUTCOMES;
use relay_bus::{Headers, Outgoing, Record, header, read};
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{DecodeError, Outcome, OutcomeStatus, Payload, Registry, Run, Service};

/// The code of an end whose record, or whose request's record, the log damaged.
pub const RECORD_DAMAGED: &str = "record_damaged";

/// `outcome` as it is published; `headers` are those of its request, where they are known. A service that publishes by itself seals it.
pub fn outcome_record(outcome: &Arc<Outcome>, headers: Headers) -> Outgoing {
    let key = outcome.request_id.as_str().to_owned();
    Outgoing::keyed(OUTCOMES, key, headers, Payload::of(Arc::clone(outcome)))
}

/// The outcome that `record` holds. One that the log damaged is an end all the same where its headers can be trusted: `failed`,
/// `record_damaged`, and nothing is charged. Every reader takes it for that, so that nobody ends the request a second time.
///
/// # Errors
/// As [`read`]; then it is no outcome.
pub fn read_outcome(schemas: &Registry, record: &Record) -> Result<Arc<Outcome>, DecodeError> {
    read(schemas, record).or_else(|error| damaged(record).map(Arc::new).ok_or(error))
}

fn damaged(record: &Record) -> Option<Outcome> {
    record.headers.get(header::DAMAGED)?;
    let (request_id, tenant) = (record.headers.request_id()?, record.headers.tenant()?);
    let run = Run {
        service: Service::Runner,
        instance: "the log".into(),
        epoch: 0,
        attempt: 0,
    };
    let message = "the record of the request's end is damaged; what it said is lost";
    let ending = Ending::because(OutcomeStatus::Failed, RECORD_DAMAGED, message);
    let known = Known::Headers(&request_id, &tenant);
    Some(end(known, run, ending, record.timestamp))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use relay_bus::{Partition, Position};
    use relay_schemas::TimestampMs;

    use super::*;

    fn record(headers: &[(&str, &str)]) -> Record {
        let pairs = headers.iter().map(|(name, value)| {
            let value = Bytes::from((*value).to_owned());
            ((*name).to_owned(), value)
        });
        Record {
            position: Position {
                partition: Partition::new(OUTCOMES, 0),
                offset: 3,
            },
            timestamp: TimestampMs(5),
            key: None,
            headers: pairs.collect(),
            value: Some("what is left".into()),
        }
    }

    #[test]
    fn a_damaged_outcome_is_an_end_without_a_charge_where_its_headers_say_whose() {
        let damaged = (header::DAMAGED, "segment 1, byte 64");
        let whose = [(header::REQUEST_ID, "r"), (header::TENANT, "acme")];
        let schemas = Registry::default();
        let outcome = read_outcome(&schemas, &record(&[whose[0], whose[1], damaged])).unwrap();
        assert_eq!(
            (outcome.status, outcome.code.as_deref()),
            (OutcomeStatus::Failed, Some(RECORD_DAMAGED))
        );
        assert_eq!(
            (outcome.request_id.as_str(), outcome.tenant.as_str()),
            ("r", "acme")
        );
        assert_eq!(outcome.usage, relay_schemas::Usage::default());
        assert!(read_outcome(&schemas, &record(&[damaged])).is_err(), "nobody's");
        assert!(
            read_outcome(&schemas, &record(&whose)).is_err(),
            "unreadable, but not by the log's doing"
        );
    }
}
