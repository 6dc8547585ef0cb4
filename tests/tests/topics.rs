//! The log, looked after by people, beside a gateway that has it open.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use relay_bus::{Headers, Outgoing, Record, header, topics};
use relay_schemas::{DeadLetter, encode};
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::ledger;
use relay_tests::letters::{NextLine, beside, items, nonsense, until};
use relay_tests::settle::settle;
use relay_tests::takeover::sum;

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_resent_and_discarded_beside_a_running_gateway() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("the gateway can be prepared");
    let next = NextLine::default();
    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    let bad = vec![next.line("b", "hello"), nonsense(topics::OUTCOMES)];
    bus.publish(bad, Vec::new()).await.expect("the log takes them");
    drop(bus);
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");

    let list = ["dead-letters", "list", "--json"];
    let line = until(&gateway, &list, |item| item["topic"] == topics::BATCH_REQUESTS)
        .await
        .expect("the line is given up");
    assert_eq!(line["service"], "ingress.batch");
    let letter = line["letter"].as_str().expect("a letter is named").to_owned();
    // By each group that reads outcomes: none shall come later than what closes them.
    for service in ["cache-service.fill", "ingress.batch-results", "scheduler"] {
        let given_up = until(&gateway, &list, |item| item["service"] == service).await;
        given_up.expect("the outcome is given up");
    }
    let of_the_sink = until(&gateway, &list, |item| item["service"] == "trace-sink")
        .await
        .expect("the outcome is given up");
    let (_, table) = beside(&gateway, &["dead-letters", "list"]).expect("it runs");
    assert!(
        table.starts_with("LETTER  WHEN") && table.contains(&letter),
        "{table}"
    );
    let outcome = of_the_sink["letter"].as_str().expect("a letter is named");
    let (_, hidden) = beside(&gateway, &["dead-letters", "show", outcome]).expect("it runs");
    assert!(
        hidden.contains("left out") && !hidden.contains("a tenant's words"),
        "{hidden}"
    );
    let (_, shown) = beside(&gateway, &["dead-letters", "show", outcome, "--content"]).expect("it runs");
    assert!(shown.contains("a tenant's words"), "{shown}");

    let (done, kept) = beside(&gateway, &["dead-letters", "resend", &letter]).expect("it runs");
    assert!(!done && kept.contains("cannot be read now either"), "{kept}");
    // An operator learns of the missing schema.
    gateway.stop().expect("it drains");
    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    next.tell(&*bus).await.expect("the log takes it");
    drop(bus);
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");
    let (done, told) = beside(&gateway, &["dead-letters", "resend", &letter]).expect("it runs");
    assert!(
        done && told.contains("resent, lies at relay.batch.requests.v1-"),
        "{told}"
    );
    let result = until(&gateway, &["topics", "tail", topics::BATCH_RESULTS], |item| {
        item["body"]["batch_id"] == "b"
    });
    assert_eq!(result.await.expect("it has a result")["body"]["status_code"], 200);

    let discard = ["dead-letters", "discard", "--topic", topics::OUTCOMES];
    let (done, told) = beside(&gateway, &discard).expect("it runs");
    assert!(done && told.contains("discarded"), "{told}");
    let left = items(&gateway, &list).expect("a list");
    assert!(left.is_empty(), "{left:?}");
    let all = items(&gateway, &["dead-letters", "list", "--all", "--json"]).expect("a list");
    assert!(
        all.len() >= 2 && all.iter().all(|item| !item["closed"].is_null()),
        "{all:?}"
    );
    let log = gateway.log();
    for action in ["dead letter resent", "dead letter discarded"] {
        let audited = log
            .lines()
            .any(|line| line.contains("\"audit\"") && line.contains(action));
        assert!(audited, "{action} in {log}");
    }
    gateway.stop().expect("it drains");
    // Without it the same command opens the log itself.
    assert_eq!(
        items(&gateway, &["dead-letters", "list", "--all", "--json"])
            .expect("a list")
            .len(),
        all.len()
    );
}

/// The dead letter that the sink would have written of a record.
fn letter_of(record: &Record) -> Outgoing {
    let letter = DeadLetter {
        source_topic: record.position.partition.topic.to_string(),
        source_partition: record.position.partition.partition,
        source_offset: record.position.offset,
        group: "relay.trace-sink".to_owned(),
        class: "poison".to_owned(),
        reason: "the tables refused it".to_owned(),
        attempts: 1,
        headers: Vec::new(),
        key: record.key.as_deref().map(<[u8]>::to_vec),
        // As much of it as that sink keeps.
        value: record.value.as_deref().map(|value| value[..8].to_vec()),
        at: record.timestamp,
    };
    Outgoing::keyed(
        topics::DEAD_LETTERS,
        "letter",
        Headers::default(),
        encode(&letter),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_put_back_changes_nothing_for_whoever_has_it() {
    let mut gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let (http, prompt) = (relay_tests::http::client(), unique_prompt(1));
    let saw = ask(&http, &gateway.base_url, "acme", &prompt, Manner::Whole, None).await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    settle(&mut gateway, &[saw], PATIENCE)
        .await
        .expect("it is traced");
    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    let before = ledger::read(&*bus).await.expect("the log can be read");
    let outcomes = ledger::all(&*bus, topics::OUTCOMES)
        .await
        .expect("they can be read");
    let letter = letter_of(&outcomes[0]);
    bus.publish(vec![letter], Vec::new())
        .await
        .expect("the log takes it");
    drop(bus);
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");

    let (done, told) = beside(&gateway, &["dead-letters", "resend", "0/0"]).expect("it runs");
    assert!(
        done && told.contains("0/0: resent, lies at relay.outcomes.v1-"),
        "{told}"
    );
    let ignored = "relay_outcomes_superseded_total{service=\"trace-sink\"}";
    gateway
        .until("/metrics", |metrics| sum(metrics, ignored) >= 1)
        .await
        .expect("the sink passes it over");
    gateway.stop().expect("it drains");
    let bus = ledger::embedded(&gateway.data()).expect("its log opens");
    let after = ledger::read(&*bus).await.expect("the log can be read");
    assert_eq!(
        (after.winners, after.superseded),
        (before.winners, before.superseded + 1)
    );
    let outcomes = ledger::all(&*bus, topics::OUTCOMES)
        .await
        .expect("they can be read");
    let resent = outcomes
        .iter()
        .filter(|record| record.headers.get(header::RESENT).is_some());
    assert_eq!(resent.count(), 1);
    for topic in [topics::REQUESTS, topics::PLANNED] {
        assert_eq!(after.records[topic], before.records[topic], "nothing runs again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_read_followed_and_applied_beside_a_running_gateway() {
    let gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let (done, applied) = beside(&gateway, &["topics", "apply"]).expect("it runs");
    assert!(
        done && applied.contains("relay.outcomes.v1: unchanged"),
        "{applied}"
    );
    let (_, offsets) = beside(&gateway, &["topics", "offsets"]).expect("it runs");
    assert!(
        offsets.starts_with("TOPIC ") && offsets.contains("relay.dead-letters.v1"),
        "{offsets}"
    );

    let mut follower = gateway
        .beside(&["topics", "read", topics::SCHEMAS, "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("schemas were announced").expect("text");
    assert!(first.contains("\"key\""), "{first}");
    // The pipe is full by now: what waits for a reader hears it all the same.
    Command::new("kill")
        .args(["-INT", &follower.id().to_string()])
        .status()
        .expect("it is told");
    assert!(ended(&mut follower).success(), "Ctrl-C is a good end");

    // Whoever reads it goes, while nothing comes that could be printed.
    let mut unread = gateway
        .beside(&["topics", "tail", topics::SCHEMAS, "-n", "1", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(unread.stdout.take().expect("a pipe")).lines();
    lines.next().expect("there is one").expect("text");
    drop(lines);
    assert!(ended(&mut unread).success(), "a broken pipe is a quiet end");
}

fn ended(process: &mut std::process::Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.try_wait().expect("it is ours") {
            return status;
        }
        assert!(Instant::now() < deadline, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_held_where_nothing_answers_and_one_that_is_not_there_say_what_to_do() {
    let gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let port = relay_tests::files::free_port().to_string();
    let (done, told) = beside(&gateway, &["topics", "offsets", "--admin-port", &port]).expect("it runs");
    assert!(
        !done && told.contains("in use by process") && told.contains("--admin-port"),
        "{told}"
    );
    let nowhere = gateway.folder.path().join("nowhere");
    let words = ["topics", "offsets", "--data", nowhere.to_str().expect("text")];
    let (done, told) = beside(&gateway, &words).expect("it runs");
    assert!(
        !done && told.contains("there is no log") && told.contains("--data"),
        "{told}"
    );
    assert!(!nowhere.exists(), "none is made by asking");
}
