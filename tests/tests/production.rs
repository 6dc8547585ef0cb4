//! The same promises on the production column: separate processes on real Kafka, NATS, Redis and Postgres.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::process::Command;

use relay_tests::files;
use relay_tests::gateway::KILLABLE;
use relay_tests::growth::ready_grows;
use relay_tests::production::Production;
use relay_tests::proofs::production_storm;
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
