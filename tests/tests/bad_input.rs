//! Bad input gets a clear error and loses nothing else: over HTTP a 4xx with the `OpenAI` error body, on the log a dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use relay_bus::topics::Topic;
use relay_bus::{Bus, BusError, Headers, Outgoing, Record, header, topics};
use relay_schemas::{DeadLetter, Fingerprint, OutcomeStatus, Registry, RequestId};
use relay_store::SqliteStore;
use relay_tests::ask::{End, Manner, Observation, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::ledger::{self, Ledger};
use relay_tests::load::seed_batch;
use relay_tests::settle::{settle, traces};
use serde_json::Value;

async fn post(gateway: &Gateway, body: &str, tenant: &str) -> (u16, Value) {
    let response = relay_tests::http::client()
        .post(format!("{}/v1/chat/completions", gateway.base_url))
        .header("content-type", "application/json")
        .header("x-tenant-id", tenant)
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer comes");
    let status = response.status().as_u16();
    assert!(
        response.headers().contains_key("x-request-id"),
        "{status} without x-request-id"
    );
    (status, response.json().await.expect("errors are JSON too"))
}

/// Asks, and insists on an answer.
async fn answered(gateway: &Gateway, prompt: &str, manner: Manner) -> Observation {
    let http = relay_tests::http::client();
    let saw = ask(&http, &gateway.base_url, "acme", prompt, manner, None).await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    saw
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_clear_4xx_and_the_next_request_is_served() {
    let mut gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let large = format!(
        r#"{{"model":"mock","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(2_000_000)
    );
    let cases = [
        ("malformed JSON", r#"{"model": "mock", "#, "acme", 400),
        ("not an object", "[1, 2]", "acme", 400),
        ("no messages", r#"{"model": "mock"}"#, "acme", 400),
        (
            "wrong type",
            r#"{"model": "mock", "messages": "hello"}"#,
            "acme",
            400,
        ),
        (
            "temperature out of range",
            r#"{"model":"mock","temperature":9,"messages":[{"role":"user","content":"x"}]}"#,
            "acme",
            400,
        ),
        (
            "unknown model",
            r#"{"model":"nobody","messages":[{"role":"user","content":"x"}]}"#,
            "acme",
            404,
        ),
        (
            "bad tenant",
            r#"{"model":"mock","messages":[{"role":"user","content":"x"}]}"#,
            "a b c",
            400,
        ),
        ("body over the limit", large.as_str(), "acme", 413),
    ];
    for (name, body, tenant, expected) in cases {
        let (status, answer) = post(&gateway, body, tenant).await;
        assert_eq!(status, expected, "{name}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(
            message.len() > 10,
            "{name}: the message says too little: {answer}"
        );
    }
    let saw = answered(&gateway, &unique_prompt(1), Manner::Whole).await;
    settle(&mut gateway, &[saw], Duration::from_secs(30))
        .await
        .expect("nothing is lost");
}

/// Who reads a topic, by group, and so makes a dead letter of what cannot be read there; `None` for a topic of which this
/// test does not know.
fn readers(topic: &str) -> Option<&'static [&'static str]> {
    Some(match topic {
        topics::REQUESTS => &["relay.planner"],
        topics::PLANNED => &["relay.cache-service"],
        "relay.ready.default.v1" => &["relay.scheduler"],
        "relay.work.default.short.v1" => &["relay.workers.default.short", "relay.scheduler"],
        "relay.work.default.long.v1" => &["relay.workers.default.long", "relay.scheduler"],
        topics::OUTCOMES => &[
            "relay.trace-sink",
            "relay.cache-service.fill",
            "relay.ingress.batch-results",
            "relay.scheduler",
        ],
        topics::BATCH_REQUESTS => &["relay.ingress.batch"],
        // Read by nobody here, or passed over: leadership by who does not lead yet, policies and schemas by whoever looks for one.
        "relay.scheduler.default.v1"
        | topics::BATCH_RESULTS
        | topics::DEAD_LETTERS
        | topics::POLICIES
        | topics::SCHEMAS => &[],
        _ => return None,
    })
}

/// Topics whose records are requests on their way: there the request ends as well.
const ENDS: [&str; 5] = [
    topics::REQUESTS,
    topics::PLANNED,
    "relay.ready.default.v1",
    "relay.work.default.short.v1",
    "relay.work.default.long.v1",
];
const KINDS: [&str; 5] = ["garbage", "truncated", "bit-flipped", "largest", "tombstone"];
/// Room in a record for its key, headers and frame.
const AROUND: usize = 1_024;

/// A bad record, made from a real one where its kind asks for that. Its request is one that no other record names.
fn bad(topic: &Topic, kind: &str, real: &Record) -> Outgoing {
    let value = real.value.as_deref().expect("real records have a value");
    let checked = real.headers.get(header::CRC32);
    let value = match kind {
        "garbage" => Some(b"not avro at all".to_vec()),
        "truncated" => Some(value[..value.len() / 2].to_vec()),
        "bit-flipped" => {
            let mut flipped = value.to_vec();
            // Without a checksum only a flip in the schema's fingerprint is sure to be seen.
            let at = if checked.is_some() { flipped.len() / 2 } else { 2 };
            flipped[at] ^= 1;
            Some(flipped)
        }
        "largest" => Some(vec![0xc3; topic.max_record.as_usize() - AROUND]),
        _ => None,
    };
    let mut headers = Headers::default();
    headers.set(header::REQUEST_ID, format!("{}-{kind}", topic.name));
    headers.set(header::TENANT, "acme");
    headers.set(header::CUSTOM_ID, kind.to_owned());
    if topic.name == topics::OUTCOMES {
        // Outcomes of others are no affair of the batch's results.
        headers.set(header::BATCH_ID, kind.to_owned());
    }
    if let Some(sum) = checked.filter(|_| ["truncated", "bit-flipped"].contains(&kind)) {
        headers.set(header::CRC32, sum.clone());
    }
    Outgoing {
        topic: topic.name.as_str().into(),
        partition: None,
        // On a compacted topic it replaces nothing.
        key: Some("key".into()),
        headers,
        value: value.map(Into::into),
    }
}

/// One real record of a topic. (The seed of a batch brings poison with it.)
async fn real(bus: &dyn Bus, topic: &str) -> Record {
    let known: BTreeSet<_> = relay_schemas::all()
        .iter()
        .map(|(_, codec)| codec.fingerprint())
        .collect();
    let fingerprint = |record: &Record| -> Option<Fingerprint> {
        let value = record.value.as_deref()?;
        value.get(2..10)?.try_into().ok()
    };
    let all = ledger::all(bus, topic).await.expect("the log can be read");
    all.into_iter()
        .find(|record| fingerprint(record).is_some_and(|found| known.contains(&found)))
        .unwrap_or_else(|| panic!("{topic} holds no real record"))
}

/// Appends every kind of bad record to every topic; more than a topic takes is refused.
async fn append_bad(bus: &dyn Bus) {
    for topic in ledger::manifest().expanded() {
        let real = real(bus, &topic.name).await;
        for kind in KINDS {
            let taken = bus.publish(vec![bad(&topic, kind, &real)], Vec::new()).await;
            taken.unwrap_or_else(|error| panic!("{kind} on {}: {error}", topic.name));
        }
        let mut oversized = bad(&topic, "largest", &real);
        oversized.value = Some(vec![0; topic.max_record.as_usize() + 1].into());
        let refused = bus.publish(vec![oversized], Vec::new()).await;
        assert!(
            matches!(refused, Err(BusError::TooLarge { .. })),
            "{}: {refused:?}",
            topic.name
        );
    }
}

/// Which of (topic, group, kind) became a dead letter, from the log of a gateway that does not run.
async fn given_up(bus: &dyn Bus) -> BTreeSet<(String, String, String)> {
    let registry = Registry::default();
    let letters = ledger::all(bus, topics::DEAD_LETTERS)
        .await
        .expect("dead letters can be read");
    // What was appended to the dead letters themselves is bad on purpose.
    let letters = letters
        .iter()
        .filter_map(|record| registry.decode::<DeadLetter>(record.value.as_deref()).ok());
    let told = letters.filter_map(|letter| {
        let mut headers = letter.headers.iter();
        let kind = headers.find(|named| named.name == header::CUSTOM_ID)?;
        let kind = String::from_utf8(kind.value.clone()).ok()?;
        Some((letter.source_topic, letter.group, kind))
    });
    told.collect()
}

/// What bad records must have led to and have not; empty when all is as promised.
fn missing(ledger: &Ledger, letters: &BTreeSet<(String, String, String)>) -> Vec<String> {
    let mut missing = Vec::new();
    for topic in ledger::manifest().expanded() {
        let readers = readers(&topic.name).unwrap_or_else(|| panic!("who reads {}?", topic.name));
        for kind in KINDS {
            for group in readers {
                let letter = (topic.name.clone(), (*group).to_owned(), kind.to_owned());
                if !letters.contains(&letter) {
                    missing.push(format!("no dead letter of {letter:?}"));
                }
            }
        }
    }
    for (topic, kind) in ENDS.iter().flat_map(|topic| KINDS.map(|kind| (topic, kind))) {
        let id = RequestId::new(format!("{topic}-{kind}"));
        let end = ledger
            .winners
            .get(&id)
            .map(|(outcome, ..)| (outcome.status, outcome.code.as_deref()));
        if end != Some((OutcomeStatus::Failed, Some("dead_letter"))) {
            missing.push(format!("{id} ended as {end:?}"));
        }
    }
    for kind in KINDS {
        let line = ("acme".into(), "key".to_owned(), kind.to_owned());
        let results = ledger.batch_results.get(&line);
        if results.is_none_or(|results| results.iter().any(|result| result.status_code != 400)) {
            missing.push(format!("the batch line {line:?} has the results {results:?}"));
        }
    }
    let unanswered = ledger
        .batch_lines
        .iter()
        .filter(|line| !ledger.batch_results.contains_key(*line));
    missing.extend(unanswered.map(|line| format!("no result of {line:?}")));
    missing
}

async fn stored_traces(gateway: &Gateway) -> BTreeMap<RequestId, OutcomeStatus> {
    let file = gateway.data().join("relay.sqlite");
    let store = SqliteStore::open(&file).await.expect("its store opens");
    traces(&store).await.expect("its traces can be read")
}

/// Stops the gateway, reads its log, and lets it run on until nothing is missing.
async fn until_nothing_is_missing(gateway: &mut Gateway) -> Ledger {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        gateway.stop().expect("it drains");
        let bus = ledger::embedded(&gateway.data()).expect("its log opens");
        let ledger = ledger::read(&*bus).await.expect("the log can be read");
        let mut missing = missing(&ledger, &given_up(&*bus).await);
        drop(bus);
        // What ended right before the stop is folded after the next start.
        let traces = stored_traces(gateway).await;
        let untraced = ledger.winners.keys().filter(|id| !traces.contains_key(*id));
        missing.extend(untraced.map(|id| format!("no trace of {id}")));
        if missing.is_empty() {
            return ledger;
        }
        assert!(Instant::now() < deadline, "{}", missing.join("\n"));
        gateway.run(None).expect("it starts");
        gateway.ready().await.expect("it becomes ready");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Asks the same question until the answer comes from the cache.
async fn until_cached(gateway: &Gateway, prompt: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        answered(gateway, prompt, Manner::Whole).await;
        let metrics = relay_tests::http::get(&format!("{}/metrics", gateway.ops_url)).await;
        let metrics = metrics.expect("it answers").text().await.expect("as text");
        let hits = "relay_cache_service_lookups_total{result=\"lru\"}";
        if metrics
            .lines()
            .any(|line| line.starts_with(hits) && !line.ends_with(" 0"))
        {
            return;
        }
        assert!(Instant::now() < deadline, "nothing comes from the cache");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_on_every_topic_go_to_dead_letters_and_every_service_works_on() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("the gateway can be prepared");
    let opened = |gateway: &Gateway| ledger::embedded(&gateway.data()).expect("its log opens");
    // Something real on every topic first.
    seed_batch(&*opened(&gateway), 1, 2)
        .await
        .expect("the log takes it");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");
    let mut saw = vec![answered(&gateway, &unique_prompt(1), Manner::Streamed).await];
    let many_tokens =
        r#"{"model":"mock","max_tokens":512,"messages":[{"role":"user","content":"a long one"}]}"#;
    assert_eq!(post(&gateway, many_tokens, "acme").await.0, 200);
    settle(&mut gateway, &saw, Duration::from_secs(60))
        .await
        .expect("nothing is wrong yet");

    append_bad(&*opened(&gateway)).await;
    seed_batch(&*opened(&gateway), 2, 20)
        .await
        .expect("the log takes it");
    gateway.run(None).expect("it starts on a log full of bad records");
    gateway.ready().await.expect("it becomes ready");
    saw.push(answered(&gateway, &unique_prompt(2), Manner::Streamed).await);
    saw.push(answered(&gateway, &unique_prompt(3), Manner::Whole).await);
    until_cached(&gateway, &unique_prompt(4)).await;
    let ledger = until_nothing_is_missing(&mut gateway).await;

    let traces = stored_traces(&gateway).await;
    for (id, (outcome, ..)) in &ledger.winners {
        assert_eq!(traces.get(id), Some(&outcome.status), "the trace of {id}");
    }
    for saw in &saw {
        let id = RequestId::new(saw.request_id.as_deref().expect("every answer names its request"));
        let (outcome, ..) = &ledger.winners[&id];
        assert_eq!(outcome.status, OutcomeStatus::Completed, "{id}");
    }
}
