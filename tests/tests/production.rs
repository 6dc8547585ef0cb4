//! The same promises on the production column: separate processes on real Kafka, NATS, Redis and Postgres.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use relay_bus::{Position, topics};
use relay_tests::files;
use relay_tests::gateway::{Gateway, KILLABLE, server};
use relay_tests::growth::ready_grows;
use relay_tests::ledger;
use relay_tests::letters::{NextLine, beside, items, nonsense, until};
use relay_tests::process::Process;
use relay_tests::production::{PAIRS, Production, SERVICES};
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
    let storm = production_storm(&SERVICES, 1, 50)
        .await
        .expect("exactly one outcome each, of a mixed load");
    assert!(storm.shares.accepted > 300, "{}", storm.shares);
    // A short storm is as uneven as its kills; `make prove` asks for 15 %.
    storm.shares.ensure_each(5).expect("every kind happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_processes_that_several_services_share_loses_and_doubles_nothing() {
    let _turn = TURN.lock().await;
    let storm = production_storm(&PAIRS, 1, 50)
        .await
        .expect("exactly one outcome each, of a mixed load");
    assert!(storm.shares.accepted > 300, "{}", storm.shares);
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

/// The blocks of one kind on a page, in order.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let behind = page.split(kind).skip(1);
    behind.filter_map(|text| text.split("```").next()).collect()
}

/// One line of a page in a shell, in `folder`, with `relay` and the program's Python on the `PATH`.
fn line(line: &str, folder: &Path) -> Command {
    let python = files::root().join(".relay/tools/batch-venv/bin");
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = [folder.join("bin"), python];
    let path = path.into_iter().chain(std::env::split_paths(&usual));
    let path: OsString = std::env::join_paths(path).expect("a path");
    let mut command = Command::new("sh");
    command.args(["-ec", &format!("exec {line}")]).current_dir(folder);
    command.env("PATH", path).env("RELAY_HOME", files::root());
    for variable in ["PORT", "RELAY_ADMIN_PORT"] {
        command.env(variable, files::free_port().to_string());
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_on_the_batch_page_sends_its_lines_and_reads_their_results() {
    let _turn = TURN.lock().await;
    let brokers = server("RELAY_KAFKA_BROKERS").expect("the servers run");
    let page = std::fs::read_to_string(files::root().join("docs/batch.md")).expect("the page");
    assert!(page.contains("127.0.0.1:9092"));
    let page = page.replace("127.0.0.1:9092", &brokers);
    let [configured, program, shown] =
        ["```yaml\n", "```python\n", "```text\n"].map(|kind| blocks(&page, kind)[0]);
    let lines: Vec<&str> = blocks(&page, "```sh\n")
        .into_iter()
        .flat_map(str::lines)
        .collect();
    let [apply, up, run] = lines[..] else {
        panic!("the page has three commands, not {lines:?}");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::create_dir(folder.join("bin")).expect("a folder");
    symlink(
        files::executable(KILLABLE).expect("it is built"),
        folder.join("bin/relay"),
    )
    .expect("a link");
    std::fs::write(folder.join("batch.yaml"), configured).expect("written");
    std::fs::write(folder.join("batch.py"), program).expect("written");

    let applied = line(apply, folder).output().expect("it runs");
    let told = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success(), "{told}");
    let mut relay = Process::start(line(up, folder), &folder.join("relay.log")).expect("it starts");
    let mut sender = Process::start(line(run, folder), &folder.join("batch.log")).expect("it starts");
    let ended = sender.wait(Duration::from_secs(180));
    // What librdkafka says of a broker that is slow for a while is its own.
    let said: String = sender
        .log()
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('%'))
        .collect();
    assert!(
        ended.is_ok_and(|status| status.success()) && said == shown,
        "it said:\n{said}\nand Relay:\n{}",
        relay.tail()
    );
    relay.terminate();
    let ended = relay.wait(Duration::from_secs(60)).expect("it drains");
    assert!(ended.success(), "{ended}: {}", relay.tail());
}
