//! Records of the batch half that the log damaged.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use harness::batch::{Batch, GOOD, line_of};
use harness::{completed, eventually};
use relay_bus::testing::{buried, first, with_damaged};
use relay_bus::topics::{BATCH_REQUESTS, BATCH_RESULTS, OUTCOMES, REQUESTS};
use relay_bus::{Headers, Outgoing, Partition, Position, header};
use relay_schemas::{BatchResult, Request, encode};

#[tokio::test]
async fn a_damaged_line_is_a_dead_letter_with_its_position_has_a_result_and_the_next_one_is_accepted() {
    let records = ["7", "8"].map(|custom_id| {
        let mut headers = Headers::default();
        headers.set(header::TENANT, "acme");
        headers.set(header::CUSTOM_ID, custom_id.to_owned());
        Outgoing::keyed(
            BATCH_REQUESTS,
            "acme/nightly",
            headers,
            encode(&line_of(custom_id, GOOD)),
        )
    });
    let folder = tempfile::tempdir().unwrap();
    let bus = with_damaged(folder.path(), &Batch::manifest(), &records, &[0]).await;
    let batch = Batch::on(bus, folder).await;
    let lay_at = Position {
        partition: Partition::new(BATCH_REQUESTS, 0),
        offset: 0,
    };
    assert_eq!(buried(&*batch.bus, 1).await, [lay_at]);
    let result = &first::<BatchResult>(&*batch.bus, BATCH_RESULTS, 1).await[0];
    assert_eq!((result.custom_id.as_str(), result.status_code), ("7", 400));
    assert!(result.body.contains("the log damaged it"), "{}", result.body);
    eventually(async || {
        batch.pool(0).await;
        (batch.held(REQUESTS).await > 0).then_some(())
    })
    .await;
    let request = &first::<Request>(&*batch.bus, REQUESTS, 1).await[0];
    assert_eq!(
        request.batch.as_ref().map(|line| line.custom_id.as_str()),
        Some("8")
    );
}

/// Its headers say whose line it was, so that its sender is told at least that.
#[tokio::test]
async fn a_damaged_outcome_of_a_line_is_a_result_that_says_so() {
    let mut request = relay_schemas::samples::request();
    request.batch = Some(relay_schemas::BatchRef {
        batch_id: "nightly".to_owned(),
        custom_id: "7".to_owned(),
    });
    let outcome = completed(&request, "the answer");
    let key = request.request_id.as_str().to_owned();
    let record = Outgoing::keyed(OUTCOMES, key, Headers::of(&request), encode(&outcome));
    let folder = tempfile::tempdir().unwrap();
    let bus = with_damaged(folder.path(), &Batch::manifest(), &[record], &[0]).await;
    let batch = Batch::on(bus, folder).await;
    let result = &first::<BatchResult>(&*batch.bus, BATCH_RESULTS, 1).await[0];
    assert_eq!((result.custom_id.as_str(), result.status_code), ("7", 500));
    assert!(result.body.contains("record_damaged"), "{}", result.body);
}
