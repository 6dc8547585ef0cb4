//! The only copy: damaged, killed at, copied and brought back.

use std::path::Path;
use std::time::Duration;

use relay_store::{Outcomes as _, SqliteStore};
use relay_tests::flips::{Field, flipped};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use relay_tests::keyed::killed_at_random;
use relay_tests::load::{self, Load};
use relay_tests::proofs::MOST;
use relay_tests::settle::settle;
use relay_tests::takeover::sum;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_bit_flipped_in_every_kind_of_field_is_named_starts_and_loses_only_the_damaged_records()
{
    let flips = flipped(&Field::ALL).await.expect("all else is there");
    assert_eq!(flips, Field::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_has_one_end_however_often_the_process_is_killed() {
    let report = killed_at_random(Duration::from_secs(10)).await;
    report.expect("exactly one outcome each");
}

/// Runs a command of the gateway's executable; what it printed, if it went as expected.
fn command(gateway: &Gateway, arguments: &[&str], works: bool) -> String {
    let output = gateway.command(arguments).expect("it runs");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(output.status.success(), works, "{arguments:?}: {}", said.concat());
    said.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_acknowledged_before_a_backup_has_its_outcome_and_trace_after_a_restore_elsewhere() {
    let gateway = Gateway::start(KILLABLE, &["--token-ms", "5"])
        .await
        .expect("it starts");
    let load = Load {
        rate: 40,
        lasting: Duration::from_secs(30),
        seed: 4_100,
        bases: vec![gateway.base_url.clone()],
    };
    let before = answered(&gateway).await;
    let storm = tokio::spawn(async move { load::run(&load, None).await });
    // However long that takes here: a busy machine answers a handful in three seconds.
    while answered(&gateway).await < before + 60 && !storm.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let folder = gateway.folder.path().join("backup");
    let backup = folder.to_string_lossy();
    let began = relay_clock::Clock::system().now();
    let told = command(&gateway, &["backup", &backup], true);
    assert!(
        told.contains(" 0 damaged") && told.contains("bytes of tables"),
        "{told}"
    );
    assert!(!storm.is_finished(), "it was taken under load");
    command(&gateway, &["log", "verify"], true);
    let again = command(&gateway, &["backup", &backup], false);
    assert!(again.contains("is not empty"), "{again}");
    let mut saw = storm.await.expect("the load ends");
    saw.retain(|saw| saw.at < began);
    let accepted = saw.iter().filter(|saw| saw.accepted()).count();
    assert!(accepted > 30, "{accepted} were acknowledged before it");

    let mut restored = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    command(&restored, &["restore", &backup], true);
    let full = command(&restored, &["restore", &backup], false);
    assert!(full.contains("is not empty"), "{full}");
    assert!(folded(&restored.data()).await > 0, "folding goes on from there");
    restored.run(None).expect("it starts");
    restored.ready().await.expect("it is ready");
    let ledger = settle(&mut restored, &saw, MOST).await;
    let ledger = ledger.expect("each has its outcome and trace");
    assert!(ledger.accepted.len() >= accepted);
}

/// How many requests the gateway says that it has answered.
async fn answered(gateway: &Gateway) -> u64 {
    let metrics = http::get(&format!("{}/metrics", gateway.ops_url)).await;
    let metrics = metrics.expect("it answers").text().await.expect("as text");
    sum(&metrics, r#"llm_gateway_requests_total{status="200"}"#)
}

/// How many outcomes the tables say that they hold.
async fn folded(data: &Path) -> i64 {
    let tables = SqliteStore::open(&data.join("relay.sqlite")).await;
    let folded = tables.expect("they open").folded().await.expect("they say so");
    folded.values().map(|folded| folded.next).sum()
}
