//! The promise on the embedded column: an accepted request ends in exactly one outcome, whatever dies.

use std::time::Duration;

use relay_tests::ask::{End, Manner, Saw, ask, unique_prompt};
use relay_tests::crash::POINTS;
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::load::{Load, run, seed_batch};
use relay_tests::settle::settle;
use relay_tests::{ledger, load};

const MOST: Duration = Duration::from_secs(60);

fn short_load(gateway: &Gateway, seed: u64) -> Load {
    Load { rate: 40, lasting: Duration::from_secs(1), seed, bases: vec![gateway.base_url.clone()] }
}

async fn seeded(gateway: &Gateway, seed: u64) -> anyhow::Result<()> {
    seed_batch(&*ledger::embedded(&gateway.data())?, seed, 4).await;
    Ok(())
}

async fn dies_at(point: &str, seed: u64) -> anyhow::Result<()> {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "2"])?;
    seeded(&gateway, seed).await?;
    gateway.run(Some(point))?;
    // A point on the way up kills it before it is ready; any other only under load.
    let mut saw = Vec::new();
    if gateway.ready().await.is_ok() {
        saw = run(&short_load(&gateway, seed), None).await;
    }
    gateway.crashed(Duration::from_secs(20))?;
    gateway.run(None)?;
    gateway.ready().await?;
    saw.extend(run(&short_load(&gateway, seed + 500), None).await);
    settle(&mut gateway, &saw, MOST).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_crash_point_loses_and_doubles_nothing() {
    let mut failed = Vec::new();
    for (number, point) in POINTS.iter().enumerate() {
        if let Err(error) = dies_at(point, number as u64 + 1).await {
            failed.push(format!("{point}: {error:#}"));
        }
    }
    assert!(failed.is_empty(), "{} of {} crash points:\n{}", failed.len(), POINTS.len(), failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_kills_at_random_moments_loses_and_doubles_nothing() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "2"]).expect("the gateway can be prepared");
    let mut saw: Vec<Saw> = Vec::new();
    for round in 0..3 {
        seeded(&gateway, 100 + round).await.expect("batch lines can be seeded");
        gateway.run(None).expect("it starts");
        gateway.ready().await.expect("it becomes ready");
        let load = Load { rate: 100, lasting: Duration::from_secs(2), seed: 100 + round, bases: vec![gateway.base_url.clone()] };
        let storm = tokio::spawn(async move { load::run(&load, None).await });
        tokio::time::sleep(Duration::from_millis(rand::random_range(300..1_900))).await;
        gateway.kill();
        saw.extend(storm.await.expect("the load ends"));
    }
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");
    let ledger = settle(&mut gateway, &saw, MOST).await.expect("exactly one outcome each");
    assert!(ledger.accepted.len() > 100, "only {} requests were accepted", ledger.accepted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_gateway_died_asks_again_by_key_and_gets_one_answer() {
    let mut gateway = Gateway::start(KILLABLE, &["--token-ms", "50"]).await.expect("it starts");
    let http = relay_tests::http::client();
    let prompt = unique_prompt(7);
    let first = {
        let (http, base, prompt) = (http.clone(), gateway.base_url.clone(), prompt.clone());
        tokio::spawn(async move { ask(&http, &base, "tenant-0", &prompt, Manner::Whole, Some("the-key")).await })
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    gateway.kill();
    assert_eq!(first.await.expect("the client ends").end, End::Broken);
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it becomes ready");
    let again = ask(&http, &gateway.base_url, "tenant-0", &prompt, Manner::Whole, Some("the-key")).await;
    assert_eq!(again.end, End::Finished("stop".to_owned()), "{again:?}");
    let recorded = ask(&http, &gateway.base_url, "tenant-0", &prompt, Manner::Whole, Some("the-key")).await;
    assert_eq!((recorded.request_id, recorded.text), (again.request_id.clone(), again.text.clone()));
    let other = ask(&http, &gateway.base_url, "tenant-0", "another body", Manner::Whole, Some("the-key")).await;
    assert!(matches!(other.end, End::Status(409, _)), "{other:?}");
    let ledger = settle(&mut gateway, &[again], MOST).await.expect("exactly one outcome each");
    assert_eq!(ledger.winners.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hop_of_a_request_is_a_log_record() {
    let mut gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let saw = ask(&relay_tests::http::client(), &gateway.base_url, "tenant-0", &unique_prompt(1), Manner::Streamed, None).await;
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    let ledger = settle(&mut gateway, &[saw], MOST).await.expect("exactly one outcome");
    for topic in ["relay.requests.v1", "relay.planned.v1", "relay.ready.default.v1", "relay.outcomes.v1"] {
        assert_eq!(ledger.records[topic], 1, "{topic}");
    }
    assert_eq!(ledger.records["relay.work.default.short.v1"] + ledger.records["relay.work.default.long.v1"], 1);
}
