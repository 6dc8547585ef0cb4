//! The same promises on the production column: separate processes on real Kafka, NATS, Redis and Postgres.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::process::Command;
use std::time::{Duration, Instant};

use relay_bus::Bus;
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use relay_tests::gateway::KILLABLE;
use relay_tests::load::{Load, run};
use relay_tests::production::{Instance, Production};
use relay_tests::proofs::{MOST, production_storm, store};
use relay_tests::settle::settle_running;
use relay_tests::{files, ledger, servers, takeover};
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());
async fn judged(bus: &dyn Bus, saw: &[relay_tests::ask::Saw]) -> ledger::Ledger {
    settle_running(bus, &store().expect("the servers run"), saw, MOST)
        .await
        .expect("exactly one outcome each")
}

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
    let ledger = production_storm(1, 50).await.expect("exactly one outcome each");
    assert!(
        ledger.accepted.len() > 300,
        "only {} requests were accepted",
        ledger.accepted.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_from_a_dead_scheduler_and_leases_nothing_twice() {
    let _turn = TURN.lock().await;
    let report = takeover::scheduler_dies(KILLABLE, 1_000)
        .await
        .expect("a standby leads");
    assert!(
        report.first_dispatch < Duration::from_secs(5),
        "the first dispatch came after {:?}",
        report.first_dispatch
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_may_be_away_under_load_and_nothing_is_lost_or_needs_a_restart() {
    let _turn = TURN.lock().await;
    let deployment = Production::start(KILLABLE, 1, &[])
        .await
        .expect("six processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    let mut saw = Vec::new();
    for (seed, name) in ["redis", "postgres", "nats", "kafka"].into_iter().enumerate() {
        let load = Load {
            rate: 20,
            lasting: Duration::from_secs(6),
            seed: 50 + seed as u64,
            bases: deployment.base_urls.clone(),
        };
        let loaded = tokio::spawn({
            let bus = bus.clone();
            async move { run(&load, Some(bus)).await }
        });
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
        let saw = ask(
            &http,
            &deployment.base_urls[0],
            "tenant-0",
            &prompt,
            Manner::Streamed,
            None,
        )
        .await;
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
    let mut deployment = Production::start(KILLABLE, 2, &["--first-ms", "3000"])
        .await
        .expect("twelve processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    let load = Load {
        rate: 20,
        lasting: Duration::from_secs(2),
        seed: 80,
        bases: deployment.base_urls.clone(),
    };
    let loaded = tokio::spawn(async move { run(&load, None).await });
    let victim = working_worker(&deployment).await;
    deployment.kill(&victim);
    let saw = loaded.await.expect("the load ends");
    let ledger = judged(&*bus, &saw).await;
    let leases: Vec<_> = ledger
        .winners
        .values()
        .filter_map(|(outcome, ..)| outcome.lease.as_ref())
        .collect();
    let again = leases.iter().filter(|lease| lease.attempt > 1).count();
    let by_worker = leases
        .iter()
        .fold(std::collections::BTreeMap::new(), |mut sum, lease| {
            *sum.entry(lease.worker.to_string()).or_insert(0) += 1;
            sum
        });
    assert!(
        again > 0,
        "no request ran a second time; winners by worker: {by_worker:?}"
    );
}

/// A worker that holds something, as soon as one does: members of a group that died
/// before this deployment started keep their partitions for a session timeout.
async fn working_worker(deployment: &Production) -> Instance {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        for number in 0..2 {
            let instance = Instance {
                service: "workers",
                number,
            };
            if held(deployment, &instance).await > 0.0 {
                return instance;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no worker holds anything under load");
}

async fn held(deployment: &Production, worker: &Instance) -> f64 {
    let url = format!("{}/metrics", deployment.ops_url(worker));
    let metrics = relay_tests::http::get(&url)
        .await
        .expect("it answers")
        .text()
        .await
        .expect("as text");
    let lanes = metrics
        .lines()
        .filter(|line| line.starts_with("relay_workers_in_flight_requests{"));
    lanes
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
