use relay_bus::topics::{BATCH_REQUESTS, DEAD_LETTERS, OUTCOMES, REQUESTS};
use relay_bus::{Position, header};
use relay_runner::{Identity, poisoned};
use relay_schemas::{
    BatchRequest, DeadLetterClosing, Operation, Registry, Request, Service, TimestampMs, encode, samples,
};
use serde_json::json;

use super::*;
use crate::topics::ask::{Letters, Places, Selection};

/// What a service publishes for a record that it cannot use.
pub async fn give_up(house: &House, record: &Record, reason: &str, group: &str) {
    let identity = Identity {
        service: Service::Planner,
        instance: "p".into(),
        epoch: 1,
    };
    let letters = poisoned(record, reason, group, 64, &identity, house.keeper.clock.now());
    house.publish(letters).await;
}

/// Publishes a record, has it given up, and returns it as it lies in the log.
pub async fn dead(house: &House, outgoing: Outgoing, reason: &str, group: &str) -> Record {
    let Position { partition, offset } = house.publish(vec![outgoing]).await.remove(0);
    let held = house.held(&partition.topic, partition.partition).await;
    let record = held.into_iter().find(|record| record.position.offset == offset);
    let record = record.expect("it was published");
    give_up(house, &record, reason, group).await;
    record
}

pub fn outcome(headers: Headers) -> Outgoing {
    Outgoing::keyed(OUTCOMES, "request-1", headers, encode(&samples::outcome()))
}

pub fn of_request() -> Headers {
    let mut headers = Headers::default();
    headers.set(header::REQUEST_ID, "request-1");
    headers.set(header::TENANT, "acme");
    headers
}

pub async fn open(house: &House) -> Vec<String> {
    let listed = house.ask(Ask::Letters(Letters::default())).await.expect("a list");
    listed
        .iter()
        .map(|item| item["letter"].as_str().unwrap_or_default().to_owned())
        .collect()
}

pub fn named(letter: &str) -> Selection {
    Selection {
        named: Places(vec![letter.parse().expect("a place")]),
        ..Selection::default()
    }
}

#[tokio::test]
async fn an_outcome_is_put_back_byte_for_byte_and_its_letter_is_closed() {
    let house = House::new();
    let lost = dead(
        &house,
        outcome(of_request()),
        "the store refused it",
        "relay.trace-sink",
    )
    .await;
    assert_eq!(open(&house).await, ["0/0"]);
    let done = house.ask(Ask::Resend(named("0/0"))).await.expect("it is resent");
    let partition = lost.position.partition.clone();
    let to = json!({"topic": OUTCOMES, "partition": partition.partition, "offset": 1});
    assert_eq!(done, [json!({"letter": "0/0", "did": "resent", "to": to})]);

    let again = house.held(OUTCOMES, partition.partition).await.remove(1);
    assert_eq!((&again.key, &again.value), (&lost.key, &lost.value));
    assert_eq!(
        again.headers.text(header::RESENT),
        Some("relay.dead-letters.v1/0/0")
    );
    assert_eq!(again.headers.get(header::CRC32), lost.headers.get(header::CRC32));
    assert_eq!(again.headers.request_id(), lost.headers.request_id());

    assert_eq!(open(&house).await, Vec::<String>::new());
    let all = Letters {
        all: true,
        ..Letters::default()
    };
    let listed = house.ask(Ask::Letters(all)).await.expect("a list");
    assert_eq!(listed.len(), 1, "a closing is no letter: {listed:?}");
    assert_eq!(
        (&listed[0]["closed"]["how"], &listed[0]["closed"]["by"]),
        (&json!("resent"), &json!("me"))
    );
    let twice = house.ask(Ask::Resend(named("0/0"))).await.expect("an answer");
    assert_eq!(twice[0]["did"], "kept", "{twice:?}");
    assert!(
        twice[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("closed: resent by me")),
        "{twice:?}"
    );
    assert_eq!(house.held(OUTCOMES, partition.partition).await.len(), 2, "once");
}

#[tokio::test]
async fn what_several_groups_gave_up_is_put_back_once() {
    let house = House::new();
    let lost = dead(&house, outcome(of_request()), "why", "relay.trace-sink").await;
    give_up(&house, &lost, "why", "relay.cache-service.fill").await;
    let every = Selection {
        every: true,
        ..Selection::default()
    };
    let done = house.ask(Ask::Resend(every)).await.expect("they are resent");
    assert_eq!(done.len(), 2);
    assert_eq!(done[0]["to"], done[1]["to"]);
    assert_eq!(
        house
            .held(OUTCOMES, lost.position.partition.partition)
            .await
            .len(),
        2
    );
    assert_eq!(open(&house).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_ended_with_its_letter_never_runs_again() {
    let house = House::new();
    let request = encode(&samples::request());
    let ended = Outgoing::keyed(REQUESTS, "request-1", of_request(), request);
    dead(&house, ended, "the stage panicked", "relay.planner").await;
    let show = Letters {
        whole: true,
        ..named("0/0").into()
    };
    let shown = house.ask(Ask::Letters(show)).await.expect("it is shown");
    assert_eq!(shown[0]["resend"]["would"], "keep it", "{shown:?}");
    let done = house.ask(Ask::Resend(named("0/0"))).await.expect("an answer");
    assert_eq!(done[0]["did"], "kept", "{done:?}");
    assert_eq!(house.held(REQUESTS, 0).await.len(), 1);
    assert_eq!(open(&house).await, ["0/0"], "it waits for somebody to discard it");
}

#[tokio::test]
async fn a_request_that_nothing_names_runs_unless_it_has_ended_or_is_late() {
    let house = House::new();
    let now = house.keeper.clock.now();
    let nameless = |deadline: TimestampMs| {
        let request = Request {
            deadline,
            ..samples::request()
        };
        Outgoing::keyed(REQUESTS, "key", Headers::default(), encode(&request))
    };
    dead(&house, nameless(now.plus_ms(-1)), "why", "relay.planner").await;
    dead(&house, nameless(now.plus_ms(3_600_000)), "why", "relay.planner").await;
    let done = |letter: &'static str| house.ask(Ask::Resend(named(letter)));
    let late = done("0/0").await.expect("an answer");
    assert!(
        late[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("deadline")),
        "{late:?}"
    );
    assert_eq!(done("0/1").await.expect("an answer")[0]["did"], "resent");

    dead(&house, nameless(now.plus_ms(3_600_000)), "why", "relay.planner").await;
    house.publish(vec![outcome(of_request())]).await;
    let letter = open(&house).await.pop().expect("the last one is open");
    let ended = house.ask(Ask::Resend(named(&letter))).await.expect("an answer");
    assert!(
        ended[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("has ended: completed")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_batch_line_is_put_back_only_where_its_sender_has_no_result() {
    let house = House::new();
    let line = BatchRequest {
        batch_id: "b".to_owned(),
        custom_id: "c".to_owned(),
        tenant: "acme".into(),
        operation: Operation::Chat,
        body: "{}".to_owned(),
        deadline: None,
    };
    let sent = |headers: Headers| Outgoing::keyed(BATCH_REQUESTS, "acme/b", headers, encode(&line));
    let mut named_outside = Headers::default();
    named_outside.set(header::TENANT, "acme");
    named_outside.set(header::CUSTOM_ID, "c");
    let unknown = "written in the unknown schema 00";
    // As the intake has it: no tenant, and no name of a line, so that nobody was told.
    let nobodys = |tenant: &str, line: &str| {
        let mut headers = Headers::default();
        headers.set(header::TENANT, tenant.to_owned());
        headers.set(header::CUSTOM_ID, line.to_owned());
        headers
    };
    for (headers, reason, did) in [
        (nobodys("acme corp", "c"), unknown, "resent"),
        (nobodys("acme", &"c".repeat(300)), unknown, "resent"),
        (named_outside, unknown, "kept"),
        (Headers::default(), "the stage panicked", "kept"),
        (Headers::default(), unknown, "resent"),
    ] {
        dead(&house, sent(headers), reason, "relay.ingress.batch").await;
        let letter = open(&house).await.pop().expect("the last one is open");
        let done = house.ask(Ask::Resend(named(&letter))).await.expect("an answer");
        assert_eq!(done[0]["did"], did, "{reason}: {done:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_leases_and_state_stay_where_they_are() {
    let house = House::new();
    let mut broken = outcome(of_request());
    broken.value = Some("nonsense".into());
    dead(&house, broken, "why", "relay.trace-sink").await;
    dead(
        &house,
        record("relay.schemas.v1", 0, b"k", "v"),
        "why",
        "relay.trace-sink",
    )
    .await;
    house
        .publish(vec![record(DEAD_LETTERS, 0, b"k", "no letter")])
        .await;
    let every = Selection {
        every: true,
        ..Selection::default()
    };
    let done = house.ask(Ask::Resend(every.clone())).await.expect("an answer");
    assert_eq!(done.len(), 3);
    assert!(done.iter().all(|item| item["did"] == "kept"), "{done:?}");
    let done = house.ask(Ask::Discard(every)).await.expect("an answer");
    assert!(done.iter().all(|item| item["did"] == "discarded"), "{done:?}");
    assert_eq!(open(&house).await, Vec::<String>::new());
}

#[tokio::test]
async fn other_peoples_topics_are_served_too_and_a_record_that_is_gone_only_from_a_whole_letter() {
    let house = House::new();
    dead(&house, record("t", 2, b"k\xff", "short"), "why", "somebody.else").await;
    assert_eq!(
        house.ask(Ask::Resend(named("0/0"))).await.expect("an answer")[0]["did"],
        "resent"
    );
    let again = house.held("t", 2).await.remove(1);
    assert_eq!(
        (again.key.as_deref(), again.value.as_deref()),
        (Some(&b"k\xff"[..]), Some(&b"short"[..]))
    );

    // The log never held these: as after retention.
    for (value, did) in [("fits", "resent"), (&"x".repeat(65), "kept")] {
        let Outgoing {
            key, headers, value, ..
        } = record("t", 0, b"k", value).sealed();
        let gone = Record {
            position: Position {
                partition: Partition::new("t", 0),
                offset: 1_000,
            },
            timestamp: TimestampMs(1),
            key,
            headers,
            value,
        };
        give_up(&house, &gone, "why", "somebody.else").await;
        let letter = open(&house).await.pop().expect("the last one is open");
        let done = house.ask(Ask::Resend(named(&letter))).await.expect("an answer");
        assert_eq!(done[0]["did"], did, "{done:?}");
    }
    // Another record lies there now.
    house.publish(vec![record("t", 1, b"k", "new")]).await;
    let other = Record {
        position: Position {
            partition: Partition::new("t", 1),
            offset: 0,
        },
        timestamp: TimestampMs(1),
        key: Some("k".into()),
        headers: Headers::default(),
        value: Some("old".into()),
    };
    give_up(&house, &other, "why", "somebody.else").await;
    let letter = open(&house).await.pop().expect("the last one is open");
    let done = house.ask(Ask::Resend(named(&letter))).await.expect("an answer");
    assert!(
        done[0]["why"]
            .as_str()
            .is_some_and(|why| why.contains("another record")),
        "{done:?}"
    );
}

#[tokio::test]
async fn discarding_names_who_did_it_in_the_log_and_needs_a_choice() {
    let house = House::new();
    dead(&house, outcome(of_request()), "why", "relay.trace-sink").await;
    dead(&house, record("t", 0, b"k", "v"), "why", "somebody.else").await;
    let nothing = house
        .ask(Ask::Discard(Selection::default()))
        .await
        .expect_err("no choice");
    assert!(nothing.contains("--every"), "{nothing}");
    let of_acme = Selection {
        tenant: Some("acme".to_owned()),
        ..Selection::default()
    };
    let done = house.ask(Ask::Discard(of_acme)).await.expect("an answer");
    assert_eq!(done, [json!({"letter": "0/0", "did": "discarded"})]);
    assert_eq!(open(&house).await, ["0/1"]);
    let closing = house.held(DEAD_LETTERS, 0).await.pop().expect("the closing");
    let closing: DeadLetterClosing = relay_bus::decode(&Registry::default(), &closing).expect("a closing");
    assert_eq!(
        (closing.offset, closing.how.as_str(), closing.by.as_str()),
        (0, "discarded", "me")
    );
    let missing = house.ask(Ask::Discard(named("0/99"))).await.expect_err("none");
    assert!(missing.contains("no dead letter 0/99"), "{missing}");
    let missing = house
        .ask(Ask::Letters(Letters::from(named("7/0"))))
        .await
        .expect_err("none");
    assert!(missing.contains("no dead letter 7/0"), "{missing}");
}

#[tokio::test]
async fn showing_one_leaves_content_out_unless_it_is_asked_for() {
    let house = House::new();
    dead(&house, record("t", 0, b"k", "a secret"), "why", "somebody.else").await;
    let show = |content| Letters {
        all: true,
        whole: true,
        content,
        ..named("0/0").into()
    };
    let hidden = house.ask(Ask::Letters(show(false))).await.expect("it is shown");
    assert!(!hidden[0].to_string().contains("a secret"), "{hidden:?}");
    assert_eq!(hidden[0]["kept_bytes"], 8);
    assert_eq!(hidden[0]["resend"], json!({"would": "put it back"}));
    let shown = house.ask(Ask::Letters(show(true))).await.expect("it is shown");
    assert_eq!(shown[0]["value"], "a secret");
}
