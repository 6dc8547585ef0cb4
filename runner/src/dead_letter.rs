//! What is published in the place of a record that no service could use. Pure.
//!
//! A dead letter says where the record lay and keeps as much of it as fits. Where its headers can be read and it carried a
//! request, the request ends here too, as `failed`: an accepted request always ends.

use std::sync::Arc;

use bytes::Bytes;
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    DeadHeader, DeadLetter, OutcomeStatus, RequestId, Run, Service, TenantId, TimestampMs, encode,
};

use crate::outcome::{RECORD_DAMAGED, outcome_record};
use crate::runtime::Identity;
use relay_bus::topics::{DEAD_LETTERS, PLANNED, REQUESTS};
use relay_bus::{Headers, Outgoing, Partition, Position, Record, header, is_intact};

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

/// Reasons for which a record is given up that was read.
pub(crate) const PANICKED: &str = "the stage panicked";
pub(crate) const TOO_LARGE: &str = "what it led to is too large";

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

/// Whether whoever gave the record up could read it: then it said so, where somebody waits.
pub fn was_read(letter: &DeadLetter) -> bool {
    letter.class == EXHAUSTED || letter.reason == PANICKED || letter.reason.starts_with(TOO_LARGE)
}

/// Whether a dead letter ended the request of its record, which lay on `topic` and had `headers`.
pub fn ends_request(topic: &str, headers: &Headers) -> Option<(RequestId, TenantId)> {
    carries_requests(topic).then(|| Some((headers.request_id()?, headers.tenant()?)))?
}

/// The record that a dead letter stands for, out of the letter itself: where that is provably all of it, as its checksum matches
/// and nothing was cut.
pub fn kept_whole(letter: &DeadLetter) -> Option<Record> {
    let is_cut = |bytes: &[u8]| bytes.len() >= MOST_HEADER_BYTES;
    let cut = letter.headers.len() >= MOST_HEADERS
        || letter.key.as_deref().is_some_and(is_cut)
        || letter.headers.iter().any(|header| is_cut(&header.value));
    let pair = |DeadHeader { name, value }: &DeadHeader| (name.clone(), Bytes::copy_from_slice(value));
    let headers: Headers = letter.headers.iter().map(pair).collect();
    let value = letter.value.as_deref();
    let is_whole = |value| headers.get(header::CRC32).is_some() && is_intact(&headers, value);
    if cut || headers.get(header::DAMAGED).is_some() || !value.is_none_or(is_whole) {
        return None;
    }
    Some(Record {
        position: Position {
            partition: Partition::new(&letter.source_topic, letter.source_partition),
            offset: letter.source_offset,
        },
        timestamp: letter.at,
        key: letter.key.as_deref().map(Bytes::copy_from_slice),
        value: value.map(|value| Bytes::copy_from_slice(value).into()),
        headers,
    })
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
    let cut = |bytes: &[u8], most: usize| bytes[..bytes.len().min(most)].to_vec();
    let header = |(name, value): (&str, &Bytes)| DeadHeader {
        name: name.chars().take(MOST_HEADER_BYTES / 4).collect(),
        value: cut(value, MOST_HEADER_BYTES),
    };
    DeadLetter {
        source_topic: record.position.partition.topic.to_string(),
        source_partition: record.position.partition.partition,
        source_offset: record.position.offset,
        group: group.to_owned(),
        class: dead.class.to_owned(),
        reason: dead.reason.chars().take(MOST_HEADER_BYTES).collect(),
        attempts: dead.attempts,
        headers: record.headers.iter().take(MOST_HEADERS).map(header).collect(),
        key: record.key.as_ref().map(|key| cut(key, MOST_HEADER_BYTES)),
        value: record.value.as_deref().map(|value| cut(value, keep_bytes)),
        at: now,
    }
}

fn outcome(record: &Record, identity: &Identity, now: TimestampMs) -> Option<Outgoing> {
    let partition = &record.position.partition;
    let (request_id, tenant) = ends_request(&partition.topic, &record.headers)?;
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
    Some(outcome_record(
        &Arc::new(outcome),
        carried_headers(&record.headers),
    ))
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
            value: Some(b"0123456789"[..].into()),
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

    #[test]
    fn a_dead_letter_is_all_of_its_record_only_where_the_checksum_says_so_and_nothing_was_cut() {
        let of = |value: &'static [u8], keep: usize, seal: bool| {
            let headers = Headers::default();
            let mut outgoing = Outgoing::keyed("t", "key", headers, Bytes::from_static(value));
            if !seal {
                outgoing.headers = Headers::default();
            }
            let mut record = record("t", &[]);
            (record.headers, record.value) = (outgoing.headers, outgoing.value);
            let dead = Dead {
                class: POISON,
                reason: "why".to_owned(),
                attempts: 1,
            };
            letter(&record, &dead, "g", keep, TimestampMs(9))
        };
        let whole = kept_whole(&of(b"0123456789", 10, true)).expect("all of it");
        assert_eq!(whole.value.as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(whole.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(whole.position.offset, 7);
        assert!(kept_whole(&of(b"0123456789", 9, true)).is_none(), "it was cut");
        assert!(
            kept_whole(&of(b"0123456789", 10, false)).is_none(),
            "nothing says so"
        );
        let mut damaged = of(b"0123456789", 10, true);
        damaged.headers.push(DeadHeader {
            name: header::DAMAGED.to_owned(),
            value: b"segment 1".to_vec(),
        });
        assert!(kept_whole(&damaged).is_none());
        let mut long = of(b"0123456789", 10, true);
        long.key = Some(vec![b'k'; MOST_HEADER_BYTES]);
        assert!(kept_whole(&long).is_none(), "its key may have been cut");
    }

    #[test]
    fn whoever_gave_up_what_it_had_read_is_known_by_it() {
        let of = |class: &'static str, reason: &str| {
            let reason = reason.to_owned();
            let dead = Dead {
                class,
                reason,
                attempts: 1,
            };
            was_read(&letter(&record("t", &[]), &dead, "g", 10, TimestampMs(9)))
        };
        assert!(of(EXHAUSTED, "whatever") && of(POISON, PANICKED));
        assert!(of(POISON, &format!("{TOO_LARGE}: 7 bytes")));
        assert!(!of(POISON, "written in the unknown schema 00"));
    }
}
