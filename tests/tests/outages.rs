//! Kafka, NATS, Redis and Postgres away, at the start and under load, on the production column.
//!
//! The scenarios share one set of servers, so they take turns.

use std::time::Duration;

use relay_tests::outages::{DEPENDENCIES, absent_at_start, each_stopped_under_load};
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_before_a_server_wait_for_it_and_say_so() {
    let _turn = TURN.lock().await;
    for dependency in DEPENDENCIES {
        absent_at_start(dependency).await.expect(dependency.server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_may_be_away_under_load_and_nothing_is_lost_or_needs_a_restart() {
    let _turn = TURN.lock().await;
    let ledger = each_stopped_under_load(Duration::from_secs(3))
        .await
        .expect("exactly one outcome each");
    assert!(!ledger.batch_lines.is_empty(), "the load had batch lines");
}
