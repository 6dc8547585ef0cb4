//! What happens to waiting and running requests when who holds them dies: on the production column, with two of each service.
//!
//! The scenarios share one set of servers and Relay's own topic names, so they take turns.

use std::time::Duration;

use relay_tests::gateway::KILLABLE;
use relay_tests::takeover::{Way, scheduler_ends};
use relay_tests::worker_death::worker_dies;
use tokio::sync::Mutex;

/// `make prove` holds a quiet machine to what is promised; here others may be at work.
const SOON: Duration = Duration::from_secs(10);

static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_dispatches_soon_after_the_schedulers_death() {
    let _turn = TURN.lock().await;
    scheduler_ends(KILLABLE, 500, Way::Killed, SOON)
        .await
        .expect("a standby leads, nothing is leased twice, and the tokens are charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_dispatches_soon_after_a_clean_stop() {
    let _turn = TURN.lock().await;
    scheduler_ends(KILLABLE, 500, Way::Stopped, SOON)
        .await
        .expect("a standby leads, nothing is leased twice, and the tokens are charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_requests_run_elsewhere_soon_unless_they_had_shown_a_token() {
    let _turn = TURN.lock().await;
    worker_dies(KILLABLE, SOON).await.expect("each ends as promised");
}
