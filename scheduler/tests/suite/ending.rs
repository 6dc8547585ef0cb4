//! A scheduler in a process that is to end.

use relay_bus::topics;
use relay_schemas::Class;

use crate::records::Spec;
use crate::shell::{Played, Stand, specs};

/// Batch lines wait in the log as well as in a queue; whoever asks by call waits here.
#[tokio::test(flavor = "multi_thread")]
async fn while_its_process_ends_what_somebody_waits_for_is_dispatched_and_batch_lines_stay() {
    let stand = Stand::new();
    let scheduler = stand.scheduler("s1");
    stand
        .pool_status(|status| status.scheduler.as_str() == "s1")
        .await;
    scheduler.shutdown.end();
    let line = |spec| Spec {
        class: Class::Batch,
        ..spec
    };
    stand.offer(specs(3).map(line)).await;
    stand.pool_status(|status| status.waiting_batch == 3).await;
    let called = |spec: Spec| Spec {
        id: format!("called-{}", spec.id),
        ..spec
    };
    stand.offer(specs(2).map(called)).await;
    let mut worker = Played::new(50);
    worker.ends = true;
    let mut reader = stand.reader(&topics::work_short("default")).await;
    worker.work(&stand, &mut *reader, 2).await;
    let status = stand.pool_status(|status| status.waiting_interactive == 0).await;
    assert_eq!(status.waiting_batch, 3);
    assert!(
        worker.attempts.iter().all(|(id, _)| id.starts_with("called-")),
        "{:?}",
        worker.attempts
    );
}
