//! A rolling restart on the production column, in its short form: one of two of each service; `make prove` restarts both, under load.

use relay_tests::gateway::KILLABLE;
use relay_tests::rolling::{Machine, restarted_one_by_one};

#[tokio::test(flavor = "multi_thread")]
async fn in_a_rolling_restart_no_client_of_a_ready_ingress_sees_an_error_or_a_cut() {
    let report = restarted_one_by_one(KILLABLE, 1, 10, Machine::Busy)
        .await
        .expect("each request is answered whole, and each process ends with 0");
    assert!(report.restarts == 6 && report.asked > 100, "{report:?}");
}
