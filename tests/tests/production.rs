//! The same promises on the production column: separate processes on real Kafka, NATS, Redis and Postgres.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::process::Command;

use relay_bus::{Position, topics};
use relay_tests::files;
use relay_tests::gateway::{Gateway, KILLABLE, server};
use relay_tests::growth::ready_grows;
use relay_tests::ledger;
use relay_tests::letters::{NextLine, beside, items, nonsense, until};
use relay_tests::production::Production;
use relay_tests::proofs::production_storm;
use serde_json::Value;
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_official_openai_package_works_against_six_processes() {
    let _turn = TURN.lock().await;
    let deployment = Production::start_with_own_models(KILLABLE)
        .await
        .expect("six processes start");
    let python = files::root().join(".relay/tools/openai-venv/bin/python");
    let tested = Command::new(python)
        .args(["-m", "pytest", "-q", "tests/openai"])
        .current_dir(files::root())
        .env("RELAY_BASE_URL", &deployment.base_urls[0])
        .output()
        .expect("`local.py install openai` has made the environment");
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stdout)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_an_instance_of_each_service_under_load_loses_and_doubles_nothing() {
    let _turn = TURN.lock().await;
    let storm = production_storm(1, 50)
        .await
        .expect("exactly one outcome each, of a mixed load");
    assert!(storm.shares.accepted > 300, "{}", storm.shares);
    // A short storm is as uneven as its kills; `make prove` asks for 15 %.
    storm.shares.ensure_each(5).expect("every kind happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_to_ready_while_all_run_are_served() {
    let _turn = TURN.lock().await;
    ready_grows().await.expect("every request is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_on_kafka_are_listed_resent_and_discarded() {
    let _turn = TURN.lock().await;
    let brokers = server("RELAY_KAFKA_BROKERS").expect("the servers run");
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it can be prepared");
    gateway
        .configure(&format!("bus: {{ kind: kafka, brokers: \"{brokers}\" }}\n"))
        .expect("configured");
    let (done, applied) = beside(&gateway, &["topics", "apply"]).expect("it runs");
    assert!(done && applied.contains("relay.dead-letters.v1: "), "{applied}");
    let bus = ledger::kafka().expect("clients");
    let (next, batch) = (NextLine::default(), format!("b{}", std::process::id()));
    let bad = vec![next.line(&batch, "hello"), nonsense(topics::OUTCOMES)];
    let places = bus.publish(bad, Vec::new()).await.expect("the log takes them");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");

    let list = ["dead-letters", "list", "--json"];
    let is_of = |item: &Value, place: &Position| {
        item["topic"] == place.partition.topic.as_str()
            && item["partition"] == place.partition.partition
            && item["offset"] == place.offset
    };
    let line = until(&gateway, &list, |item| is_of(item, &places[0])).await;
    let line = line.expect("the line is given up");
    let letter = line["letter"].as_str().expect("a letter is named").to_owned();
    until(&gateway, &list, |item| {
        is_of(item, &places[1]) && item["service"] == "trace-sink"
    })
    .await
    .expect("the outcome is given up");
    let (done, kept) = beside(&gateway, &["dead-letters", "resend", &letter]).expect("it runs");
    assert!(!done && kept.contains("cannot be read now either"), "{kept}");
    next.tell(&*bus).await.expect("the log takes it");
    let (done, told) = beside(&gateway, &["dead-letters", "resend", &letter]).expect("it runs");
    assert!(
        done && told.contains("resent, lies at relay.batch.requests.v1-"),
        "{told}"
    );
    assert!(
        told.contains("\"target\":\"audit\""),
        "the command is what did it: {told}"
    );
    let result = until(&gateway, &["topics", "tail", topics::BATCH_RESULTS], |item| {
        item["body"]["batch_id"] == batch.as_str()
    });
    assert_eq!(result.await.expect("it has a result")["body"]["status_code"], 200);
    let (done, told) = beside(&gateway, &["dead-letters", "discard", "--every"]).expect("it runs");
    assert!(done && told.contains("discarded"), "{told}");
    let all = items(&gateway, &["dead-letters", "list", "--all", "--json"]).expect("a list");
    assert!(
        all.iter()
            .any(|item| item["letter"] == letter.as_str() && item["closed"]["how"] == "resent")
    );
    gateway.stop().expect("it drains");
}
