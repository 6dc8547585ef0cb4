//! The same promises on the production column: separate processes on real Kafka, NATS, Redis and Postgres.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::process::Command;
use std::time::{Duration, Instant};

use relay_bus::Bus;
use relay_store::{PostgresOptions, PostgresStore, Store};
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::gateway::{KILLABLE, server};
use relay_tests::load::{Load, run, seed_batch};
use relay_tests::production::{Instance, Production};
use relay_tests::settle::settle_running;
use relay_tests::{files, ledger, servers, takeover};
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());
const MOST: Duration = Duration::from_secs(90);

fn store() -> impl Store {
    let url = server("RELAY_POSTGRES_URL").expect("the servers run");
    PostgresStore::connect(PostgresOptions { url, ..PostgresOptions::default() }).expect("a valid URL")
}

async fn judged(bus: &dyn Bus, saw: &[relay_tests::ask::Saw]) -> ledger::Ledger {
    settle_running(bus, &store(), saw, MOST).await.expect("exactly one outcome each")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_openai_package_works_against_six_processes() {
    let _turn = TURN.lock().await;
    let deployment = Production::start_with_own_models(KILLABLE).await.expect("six processes start");
    let python = files::root().join(".relay/tools/openai-venv/bin/python");
    let tested = Command::new(python)
        .args(["-m", "pytest", "-q", "tests/openai"])
        .current_dir(files::root())
        .env("RELAY_BASE_URL", &deployment.base_urls[0])
        .output()
        .expect("`local.py install openai` has made the environment");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_one_instance_of_each_service_under_load_loses_and_doubles_nothing() {
    let _turn = TURN.lock().await;
    let mut deployment = Production::start(KILLABLE, 2, &["--token-ms", "2"]).await.expect("twelve processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    seed_batch(&*bus, 1, 20).await;
    let load = Load { rate: 50, lasting: Duration::from_secs(14), seed: 1, bases: deployment.base_urls.clone() };
    let storm = tokio::spawn({
        let bus = bus.clone();
        async move { run(&load, Some(bus)).await }
    });
    for instance in deployment.instances().into_iter().filter(|instance| instance.number == 0) {
        tokio::time::sleep(Duration::from_millis(rand::random_range(1_000..2_000))).await;
        deployment.kill(&instance);
        tokio::time::sleep(Duration::from_millis(200)).await;
        deployment.run(&instance, None).expect("it starts again");
    }
    let saw = storm.await.expect("the load ends");
    let ledger = judged(&*bus, &saw).await;
    assert!(ledger.accepted.len() > 300, "only {} requests were accepted", ledger.accepted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_dead_scheduler_and_charges_what_was_produced() {
    let _turn = TURN.lock().await;
    let report = takeover::scheduler_dies(KILLABLE, 1_000).await.expect("a standby leads");
    assert!(report.first_dispatch < Duration::from_secs(5), "the first dispatch came after {:?}", report.first_dispatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_may_be_away_under_load_and_nothing_is_lost_or_needs_a_restart() {
    let _turn = TURN.lock().await;
    let deployment = Production::start(KILLABLE, 1, &[]).await.expect("six processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    let mut saw = Vec::new();
    for (seed, name) in ["redis", "postgres", "nats", "kafka"].into_iter().enumerate() {
        let load = Load { rate: 20, lasting: Duration::from_secs(6), seed: 50 + seed as u64, bases: deployment.base_urls.clone() };
        let loaded = tokio::spawn(async move { run(&load, None).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        servers::stop(name).expect("it stops");
        tokio::time::sleep(Duration::from_secs(3)).await;
        servers::start(name).expect("it starts again");
        saw.extend(loaded.await.expect("the load ends"));
        serves_again(&deployment, name).await;
    }
    judged(&*bus, &saw).await;
}

/// Without a restart of anything.
async fn serves_again(deployment: &Production, after: &str) {
    let http = relay_tests::http::client();
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut number = 0;
    loop {
        number += 1;
        let prompt = format!("{} after {after}", unique_prompt(number));
        let saw = ask(&http, &deployment.base_urls[0], "tenant-0", &prompt, Manner::Streamed, None).await;
        if matches!(saw.end, End::Finished(_)) {
            return;
        }
        assert!(Instant::now() < deadline, "40 s after {after} came back: {saw:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_hands_its_unseen_requests_to_another() {
    let _turn = TURN.lock().await;
    let mut deployment = Production::start(KILLABLE, 2, &["--first-ms", "3000"]).await.expect("twelve processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    let load = Load { rate: 20, lasting: Duration::from_secs(2), seed: 80, bases: deployment.base_urls.clone() };
    let loaded = tokio::spawn(async move { run(&load, None).await });
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    deployment.kill(&Instance { service: "workers", number: 0 });
    let saw = loaded.await.expect("the load ends");
    let ledger = judged(&*bus, &saw).await;
    let second = ledger.winners.values().filter_map(|(outcome, ..)| outcome.lease.as_ref()).filter(|lease| lease.attempt > 1);
    assert!(second.count() > 0, "no request ran a second time: the dead worker held none");
}
