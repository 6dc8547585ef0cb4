//! Whatever lies in a topic: a dead letter that says where, an outcome where the headers can be read, never a crash.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use relay_bus::topics::{DEAD_LETTERS, OUTCOMES, REQUESTS};
use relay_bus::{Headers, Outgoing, Partition, Position, Record, header};
use relay_runner::StageError;
use relay_schemas::{
    DeadLetter, Outcome, OutcomeStatus, Registry, Request, Service, TimestampMs, TokenCount, decode, encode,
};

use crate::bench::{Bench, OUT, Scripted, onward, request_headers};

pub fn request(id: &str) -> Request {
    Request {
        request_id: id.into(),
        tenant: "tenant-1".into(),
        model: "m".to_owned(),
        body: "{\"messages\":[]}".to_owned(),
        request_hash: "0".repeat(64),
        prompt_tokens: TokenCount(3),
        temperature: Some(0.5),
        accepted_at: TimestampMs(1),
        deadline: TimestampMs(2),
        reply_to: Some("reply.1".to_owned()),
        idempotency_key: Some("key".to_owned()),
        ..relay_schemas::samples::request()
    }
}

/// Reads requests and hands them on.
pub fn reader(registry: &Arc<Registry>) -> Arc<Scripted> {
    let registry = registry.clone();
    Scripted::new(move |record, _| {
        let _: Request = relay_bus::decode(&registry, record)?;
        let name = Bytes::from(
            record
                .headers
                .text(header::REQUEST_ID)
                .unwrap_or_default()
                .to_owned(),
        );
        let named = Record {
            value: Some(name.into()),
            ..record.clone()
        };
        Ok(onward(&named))
    })
}

/// Every kind of poison, by a name that is also its request id.
fn poison() -> Vec<(&'static str, Option<Bytes>)> {
    let good = Outgoing::keyed(REQUESTS, "k", Headers::default(), encode(&request("x")));
    let good = good.value.unwrap().to_vec();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Some(Bytes::from(bytes))
    };
    vec![
        ("tombstone", None),
        ("empty", Some(Bytes::new())),
        ("json", Some(Bytes::from_static(b"{\"model\": \"m\"}"))),
        ("truncated", changed(&|bytes| bytes.truncate(bytes.len() / 2))),
        ("unknown schema", changed(&|bytes| bytes[3] ^= 0xFF)),
        ("longer", changed(&|bytes| bytes.extend([0, 1, 2]))),
        (
            "a length without bounds",
            changed(&|bytes| {
                bytes
                    .splice(10.., [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
                    .for_each(drop);
            }),
        ),
        ("large", Some(Bytes::from(vec![0xC3; 900_000]))),
    ]
}

fn raw(headers: Headers, value: Option<Bytes>) -> Outgoing {
    Outgoing {
        topic: REQUESTS.into(),
        partition: Some(0),
        key: Some(Bytes::from_static(b"\xff\x00")),
        headers,
        value: value.map(Into::into),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_of_every_kind_ends_as_a_dead_letter_and_its_request_as_failed() {
    let bench = Bench::new();
    let mut records: Vec<Outgoing> = Vec::new();
    for (name, value) in poison() {
        records.push(raw(request_headers(name), value));
    }
    // Flipped on its way: Avro alone would read another request.
    let mut flipped = raw(request_headers("flipped"), Some(encode(&request("flipped")))).sealed();
    let mut bytes = flipped.value.take().unwrap().to_vec();
    let last = bytes.len() - 1;
    bytes[last / 2] ^= 0x04;
    flipped.value = Some(bytes.into());
    records.push(flipped);
    let named = records.len();
    // Nothing can be read at all.
    let garbage: Headers = [
        (header::REQUEST_ID.to_owned(), Bytes::from_static(b"\xff\xfe")),
        (String::new(), Bytes::new()),
    ]
    .into_iter()
    .chain((0..300).map(|n| (format!("h{n}"), Bytes::from(vec![n as u8; 40]))))
    .collect();
    records.push(raw(garbage, Some(Bytes::from_static(b"\x00"))));
    records.push(raw(request_headers("good"), Some(encode(&request("good")))));
    bench.bus.log.publish(records, Vec::new()).await.unwrap();

    let stage = reader(&bench.runtime.schemas);
    let running = bench.start_on(&bench.runtime, &stage, Bench::options(&[REQUESTS]));
    assert_eq!(crate::bench::texts(&bench.read(OUT, 1).await), ["good"]);
    let letters = bench.read(DEAD_LETTERS, named + 1).await;
    let mut offsets = Vec::new();
    for record in &letters {
        let letter: DeadLetter = decode(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(
            (letter.source_topic.as_str(), letter.source_partition),
            (REQUESTS, 0)
        );
        assert_eq!(
            (letter.class.as_str(), letter.group.as_str()),
            ("poison", crate::bench::GROUP)
        );
        assert!(!letter.reason.is_empty());
        offsets.push(letter.source_offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..=named as i64).collect::<Vec<_>>());
    let mut ended: Vec<String> = Vec::new();
    for record in bench.read(OUTCOMES, named).await {
        let outcome: Outcome = decode(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(
            (outcome.status, outcome.run.service),
            (OutcomeStatus::Failed, Service::Runner)
        );
        assert_eq!(outcome.code.as_deref(), Some("dead_letter"));
        assert_eq!(
            record.key.as_deref(),
            Some(outcome.request_id.as_str().as_bytes())
        );
        ended.push(outcome.request_id.as_str().to_owned());
    }
    ended.sort();
    let mut expected: Vec<&str> = poison()
        .iter()
        .map(|(name, _)| *name)
        .chain(["flipped"])
        .collect();
    expected.sort_unstable();
    assert_eq!(ended, expected);
    bench.drain(running).await;
    bench.close();
}

proptest! {
    #[test]
    fn a_sealed_record_that_was_changed_anywhere_is_an_error(
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<bool>(),
    ) {
        let sealed = Outgoing::keyed(REQUESTS, "k", Headers::default(), encode(&request("r")));
        let mut bytes = sealed.value.unwrap().to_vec();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        let record = Record {
            position: Position { partition: Partition::new(REQUESTS, 0), offset: 0 },
            timestamp: TimestampMs(0),
            key: None,
            headers: sealed.headers,
            value: Some(bytes.into()),
        };
        let read = relay_bus::decode::<Request>(&Registry::default(), &record);
        prop_assert!(read.is_err());
        let class = StageError::from(read.unwrap_err());
        prop_assert!(matches!(class, StageError::Poison(_) | StageError::UnknownSchema(_)));
    }
}
