//! What is published in the place of a record that no service could use. Pure.
//!
//! A dead letter says where the record lay and keeps as much of it as fits. Where its headers can be read and it carried a
//! request, the request ends here too, as `failed`: an accepted request always ends.

use bytes::Bytes;
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{DeadHeader, DeadLetter, OutcomeStatus, Run, Service, TimestampMs, encode};

use crate::outcome::{RECORD_DAMAGED, outcome_record};
use crate::runtime::Identity;
use relay_bus::topics::{DEAD_LETTERS, PLANNED, REQUESTS};
use relay_bus::{Headers, Outgoing, Record, header};

/// The code of an outcome that stands for a dead letter.
const CODE: &str = "dead_letter";
/// Bounds on what a dead letter keeps besides the value, so that absurd headers cannot make it too large itself.
const MOST_HEADERS: usize = 64;
const MOST_HEADER_BYTES: usize = 1_024;
/// Headers that an outcome takes over from its request.
const CARRIED: [&str; 7] = [
    header::REQUEST_ID,
    header::TENANT,
    header::DEADLINE,
    header::REPLY_TO,
    header::BATCH_ID,
    header::CUSTOM_ID,
    header::TRACEPARENT,
];

/// The class of a record that can never be used.
pub(crate) const POISON: &str = "poison";
/// The class of a record that might have worked.
pub(crate) const EXHAUSTED: &str = "retries_exhausted";

/// Why a record was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    /// [`POISON`] or [`EXHAUSTED`].
    pub(crate) class: &'static str,
    /// What was wrong with it.
    pub(crate) reason: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
}

/// The records that stand for a poisoned one: its dead letter, and the outcome of its request where there is one to end. For
/// services that host themselves; a stage's records are handled by [`crate::run_stage`].
pub fn poisoned(
    record: &Record,
    reason: &str,
    group: &str,
    keep_bytes: usize,
    identity: &Identity,
    now: TimestampMs,
) -> Vec<Outgoing> {
    let dead = Dead {
        class: POISON,
        reason: reason.to_owned(),
        attempts: 1,
    };
    dead_letter(record, &dead, group, keep_bytes, identity, now)
}

/// The dead letter of `record`, and the outcome of its request if there is one to end.
pub(crate) fn dead_letter(
    record: &Record,
    dead: &Dead,
    group: &str,
    keep_bytes: usize,
    identity: &Identity,
    now: TimestampMs,
) -> Vec<Outgoing> {
    let letter = letter(record, dead, group, keep_bytes, now);
    let key = format!(
        "{}/{}/{}",
        letter.source_topic, letter.source_partition, letter.source_offset
    );
    let headers = carried_headers(&record.headers);
    let mut outgoing = vec![Outgoing::keyed(DEAD_LETTERS, key, headers, encode(&letter))];
    outgoing.extend(outcome(record, identity, now));
    outgoing
}

fn letter(record: &Record, dead: &Dead, group: &str, keep_bytes: usize, now: TimestampMs) -> DeadLetter {
    let cut = |bytes: &Bytes, most: usize| bytes[..bytes.len().min(most)].to_vec();
    let header = |(name, value): (&str, &Bytes)| DeadHeader {
        name: name.chars().take(MOST_HEADER_BYTES / 4).collect(),
        value: cut(value, MOST_HEADER_BYTES),
    };
    DeadLetter {
        source_topic: record.position.partition.topic.clone(),
        source_partition: record.position.partition.partition,
        source_offset: record.position.offset,
        group: group.to_owned(),
        class: dead.class.to_owned(),
        reason: dead.reason.chars().take(MOST_HEADER_BYTES).collect(),
        attempts: dead.attempts,
        headers: record.headers.iter().take(MOST_HEADERS).map(header).collect(),
        key: record.key.as_ref().map(|key| cut(key, MOST_HEADER_BYTES)),
        value: record.value.as_ref().map(|value| cut(value, keep_bytes)),
        at: now,
    }
}

fn outcome(record: &Record, identity: &Identity, now: TimestampMs) -> Option<Outgoing> {
    let partition = &record.position.partition;
    if !carries_requests(&partition.topic) {
        return None;
    }
    let (request_id, tenant) = (record.headers.request_id()?, record.headers.tenant()?);
    let attempt = record.headers.text(header::ATTEMPT);
    let run = Run {
        service: Service::Runner,
        ..identity.run(attempt.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    // The reason stays in the dead letter: it is for the operator, this is for the client.
    let message = format!(
        "the request's record at {}-{}@{} could not be processed",
        partition.topic, partition.partition, record.position.offset
    );
    let code = if record.headers.get(header::DAMAGED).is_some() {
        RECORD_DAMAGED
    } else {
        CODE
    };
    let ending = Ending::because(OutcomeStatus::Failed, code, message);
    let outcome = end(Known::Headers(&request_id, &tenant), run, ending, now);
    Some(outcome_record(&outcome, carried_headers(&record.headers)))
}

/// Whether a record of `topic` is one request on its way. (An outcome has ended already, a batch line has a result of its own: its stage's last words.)
fn carries_requests(topic: &str) -> bool {
    topic == REQUESTS
        || topic == PLANNED
        || ["relay.ready.", "relay.work."]
            .iter()
            .any(|prefix| topic.starts_with(prefix))
}

/// What an outcome takes over from the headers of its request's record.
pub fn carried_headers(headers: &Headers) -> Headers {
    let kept = |name: &&str| headers.get(name).filter(|value| value.len() <= MOST_HEADER_BYTES);
    let pair = |name: &str| kept(&name).map(|value| (name.to_owned(), value.clone()));
    CARRIED.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use relay_bus::topics::OUTCOMES;
    use relay_schemas::{Outcome, decode};

    use super::*;
    use relay_bus::{Partition, Position};

    fn record(topic: &str, headers: &[(&str, &'static [u8])]) -> Record {
        Record {
            position: Position {
                partition: Partition::new(topic, 3),
                offset: 7,
            },
            timestamp: TimestampMs(1),
            key: Some(Bytes::from_static(b"key")),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Bytes::from_static(value)))
                .collect(),
            value: Some(Bytes::from_static(b"0123456789")),
        }
    }

    fn letters(record: &Record) -> Vec<Outgoing> {
        let dead = Dead {
            class: "poison",
            reason: "truncated".to_owned(),
            attempts: 1,
        };
        let identity = Identity {
            service: Service::Planner,
            instance: "p1".into(),
            epoch: 5,
        };
        dead_letter(record, &dead, "relay.planner", 4, &identity, TimestampMs(9))
    }

    #[test]
    fn a_dead_letter_says_where_the_record_lay_and_keeps_what_fits() {
        let published = letters(&record("anything", &[("x", b"y")]));
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].topic, DEAD_LETTERS);
        let letter: DeadLetter =
            decode(published[0].value.as_ref().expect("a value")).expect("a dead letter");
        assert_eq!(
            (
                letter.source_topic.as_str(),
                letter.source_partition,
                letter.source_offset
            ),
            ("anything", 3, 7)
        );
        assert_eq!(letter.value.as_deref(), Some(&b"0123"[..]));
        assert_eq!(letter.headers.len(), 1);
    }

    #[test]
    fn only_a_readable_request_on_its_way_gets_an_outcome() {
        let named: &[(&str, &'static [u8])] = &[(header::REQUEST_ID, b"r1"), (header::TENANT, b"t1")];
        let nameless: &[(&str, &'static [u8])] = &[(header::REQUEST_ID, b"r1")];
        let garbage: &[(&str, &'static [u8])] = &[(header::REQUEST_ID, b"\xff"), (header::TENANT, b"t1")];
        let cases = [
            (REQUESTS, named, true),
            (PLANNED, named, true),
            ("relay.ready.default.v1", named, true),
            ("relay.work.default.long.v1", named, true),
            (OUTCOMES, named, false),
            ("relay.batch.requests.v1", named, false),
            (REQUESTS, nameless, false),
            (REQUESTS, garbage, false),
        ];
        for (topic, headers, ends) in cases {
            let published = letters(&record(topic, headers));
            assert_eq!(published.len() == 2, ends, "{topic} {headers:?}");
            if ends {
                let outcome: Outcome =
                    decode(published[1].value.as_ref().expect("a value")).expect("an outcome");
                assert_eq!(outcome.status, OutcomeStatus::Failed);
                assert_eq!(outcome.code.as_deref(), Some(CODE));
                assert_eq!(outcome.run.service, Service::Runner);
            }
        }
    }
}
