//! Bad input gets a clear error and loses nothing else: over HTTP a 4xx with the `OpenAI` error body, on the log a dead letter.

use std::time::Duration;

use relay_bus::{Headers, Outgoing, header, topics};
use relay_schemas::{DeadLetter, OutcomeStatus, Registry, RequestId};
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::ledger;
use relay_tests::settle::settle;
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
    let saw = ask(
        &relay_tests::http::client(),
        &gateway.base_url,
        "acme",
        &unique_prompt(1),
        Manner::Whole,
        None,
    )
    .await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    settle(&mut gateway, &[saw], Duration::from_secs(30))
        .await
        .expect("nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_topic_goes_to_dead_letters_and_ends_the_request_its_headers_name() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("the gateway can be prepared");
    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    let ends = ["relay.requests.v1", "relay.planned.v1", "relay.ready.default.v1"];
    let mut sent = 0;
    for topic in ledger::manifest().expanded().into_iter().map(|topic| topic.name) {
        if topic == topics::DEAD_LETTERS || topic == topics::BATCH_RESULTS {
            continue;
        }
        for (kind, value) in [
            ("garbage", Some(&b"not avro at all"[..])),
            ("truncated", Some(&b"\xc3\x01abc"[..])),
            ("tombstone", None),
        ] {
            let mut headers = Headers::default();
            headers.set(header::REQUEST_ID, format!("{topic}-{kind}"));
            headers.set(header::TENANT, "acme");
            let record = Outgoing {
                topic: topic.clone(),
                partition: None,
                key: Some("key".into()),
                headers,
                value: value.map(Into::into),
            };
            bus.publish(vec![record], Vec::new())
                .await
                .expect("garbage can be appended");
            sent += 1;
        }
    }
    assert!(sent > 20);
    drop(bus);
    gateway.run(None).expect("it starts on a log full of garbage");
    gateway.ready().await.expect("it becomes ready");
    let saw = ask(
        &relay_tests::http::client(),
        &gateway.base_url,
        "acme",
        &unique_prompt(1),
        Manner::Whole,
        None,
    )
    .await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.stop().expect("it drains");

    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    let registry = Registry::default();
    let letters: Vec<DeadLetter> = ledger::all(&*bus, topics::DEAD_LETTERS)
        .await
        .expect("dead letters can be read")
        .iter()
        .map(|record| {
            registry
                .decode(record.value.as_deref())
                .expect("a dead letter is well formed")
        })
        .collect();
    for topic in ends.iter().chain(&[topics::OUTCOMES]) {
        assert!(
            letters.iter().any(|letter| letter.source_topic == *topic),
            "no dead letter from {topic}"
        );
    }
    let ledger = ledger::read(&*bus).await.expect("the log can be read");
    for topic in ends {
        for kind in ["garbage", "truncated", "tombstone"] {
            let id = RequestId::new(format!("{topic}-{kind}"));
            let (outcome, ..) = ledger
                .winners
                .get(&id)
                .unwrap_or_else(|| panic!("{id} has no outcome"));
            assert_eq!(
                (outcome.status, outcome.code.as_deref()),
                (OutcomeStatus::Failed, Some("dead_letter")),
                "{id}"
            );
        }
    }
}
