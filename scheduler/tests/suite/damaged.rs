//! Records that the log damaged.

use relay_bus::testing::{buried, first, with_damaged};
use relay_bus::{Headers, Outgoing, Partition, Position, topics};
use relay_schemas::{Outcome, OutcomeStatus, encode};

use crate::records::Spec;
use crate::shell::{Stand, manifest, specs};

fn named(topic: &str, spec: &Spec, value: bytes::Bytes) -> Outgoing {
    let headers = Headers::of(&spec.ready().request);
    Outgoing::to_partition(&Partition::new(topic, 3), headers, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_a_dead_letter_with_its_position_and_what_follows_is_queued() {
    let (ready, outcomes) = (topics::ready("default"), topics::OUTCOMES);
    let [lost, ended, next] = [0, 1, 2].map(|n| specs(3).nth(n).unwrap());
    let mut end = relay_schemas::samples::outcome();
    end.request_id = ended.id.as_str().into();
    let records = [
        named(&ready, &lost, encode(&lost.ready())),
        named(&ready, &ended, encode(&ended.ready())),
        named(&ready, &next, encode(&next.ready())),
        named(outcomes, &ended, encode(&end)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let bus = with_damaged(folder.path(), &manifest(), &records, &[0, 3]).await;
    let stand = Stand::on(bus, folder);
    let _scheduler = stand.scheduler("s1");

    let at = |topic: &str| Position {
        partition: Partition::new(topic, 3),
        offset: 0,
    };
    assert_eq!(buried(&*stand.bus, 1).await, [at(&ready)]);
    let failed = &first::<Outcome>(&*stand.bus, outcomes, 1).await[0];
    assert_eq!(
        (failed.request_id.as_str(), failed.status, failed.code.as_deref()),
        (lost.id.as_str(), OutcomeStatus::Failed, Some("record_damaged"))
    );
    // What is left of the outcome is an end all the same.
    stand.pool_status(|status| status.waiting_interactive == 1).await;
}
