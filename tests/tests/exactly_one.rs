//! The promise on the embedded column: an accepted request ends in exactly one outcome, whatever dies.

use std::time::Duration;

use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::crash::POINTS;
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::pools::EMPTY;
use relay_tests::proofs::{Comes, MOST, embedded_dies_at, embedded_storm};
use relay_tests::settle::settle;
use relay_tests::steps;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_crash_point_loses_and_doubles_nothing() {
    let mut failed = Vec::new();
    for (number, point) in POINTS.iter().enumerate() {
        if let Err(error) = embedded_dies_at(point, Comes::Mixed, number as u64 + 1).await {
            failed.push(format!("{point}: {error:#}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} crash points:\n{}",
        failed.len(),
        POINTS.len(),
        failed.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_while_it_hands_over_loses_and_doubles_nothing_by_call_and_by_batch() {
    for (seed, comes) in [(7_001, Comes::ByCall), (7_002, Comes::ByBatch)] {
        for point in ["scheduler.before_hand_over", "scheduler.after_hand_over"] {
            let ledger = embedded_dies_at(point, comes, seed).await;
            let ledger = ledger.unwrap_or_else(|error| panic!("{point}, {comes:?}: {error:#}"));
            let elsewhere = ledger.winners.values().filter(|(outcome, ..)| {
                let planning = outcome.planning.as_ref();
                planning.is_some_and(|planning| planning.handovers.iter().any(|over| over.from_pool == EMPTY))
            });
            assert!(
                elsewhere.count() > 0,
                "{point}, {comes:?}: nothing was handed over"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_kills_at_random_moments_loses_and_doubles_nothing() {
    let storm = embedded_storm(3, 100, Duration::from_secs(3))
        .await
        .expect("exactly one outcome each, of a mixed load");
    assert!(storm.shares.accepted > 100, "{}", storm.shares);
    // A short storm is as uneven as its kills; `make prove` asks for 15 %.
    storm.shares.ensure_each(5).expect("every kind happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_set_loses_and_doubles_nothing_and_deadlines_hold() {
    let report = steps::embedded(1, &[3_000, -3_000]).await;
    let report = report.expect("each is answered by its one run");
    assert_eq!(report.steps, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_gateway_died_asks_again_by_key_and_gets_one_answer() {
    let mut gateway = Gateway::start(KILLABLE, &["--token-ms", "50"])
        .await
        .expect("it starts");
    let http = relay_tests::http::client();
    let prompt = unique_prompt(7);
    let first = {
        let (http, base, prompt) = (http.clone(), gateway.base_url.clone(), prompt.clone());
        tokio::spawn(
            async move { ask(&http, &base, "tenant-0", &prompt, Manner::Whole, Some("the-key")).await },
        )
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    gateway.kill();
    assert_eq!(first.await.expect("the client ends").end, End::Broken);
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");
    let again = ask(
        &http,
        &gateway.base_url,
        "tenant-0",
        &prompt,
        Manner::Whole,
        Some("the-key"),
    )
    .await;
    assert_eq!(again.end, End::Finished("stop".to_owned()), "{again:?}");
    let recorded = ask(
        &http,
        &gateway.base_url,
        "tenant-0",
        &prompt,
        Manner::Whole,
        Some("the-key"),
    )
    .await;
    assert_eq!(
        (recorded.request_id, recorded.text),
        (again.request_id.clone(), again.text.clone())
    );
    let other = ask(
        &http,
        &gateway.base_url,
        "tenant-0",
        "another body",
        Manner::Whole,
        Some("the-key"),
    )
    .await;
    assert!(matches!(other.end, End::Status(409, _)), "{other:?}");
    let ledger = settle(&mut gateway, &[again], MOST)
        .await
        .expect("exactly one outcome each");
    assert_eq!(ledger.winners.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hop_of_a_request_is_a_log_record() {
    let mut gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let saw = ask(
        &relay_tests::http::client(),
        &gateway.base_url,
        "tenant-0",
        &unique_prompt(1),
        Manner::Streamed,
        None,
    )
    .await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    let ledger = settle(&mut gateway, &[saw], MOST)
        .await
        .expect("exactly one outcome");
    for topic in [
        "relay.requests.v1",
        "relay.planned.v1",
        "relay.ready.default.v1",
        "relay.outcomes.v1",
    ] {
        assert_eq!(ledger.records[topic], 1, "{topic}");
    }
    assert_eq!(
        ledger.records["relay.work.default.short.v1"] + ledger.records["relay.work.default.long.v1"],
        1
    );
}
