//! A request that the log damaged, on the whole service.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::sync::Arc;

use relay_bus::testing::{buried, first, with_damaged};
use relay_bus::topics::{Manifest, OUTCOMES, PLANNED, REQUESTS};
use relay_bus::{Bus, Headers, Outgoing, Partition, Position};
use relay_control::{InProcessControl, InProcessOptions};
use relay_planner::{Config, Deps, run};
use relay_runner::{Identity, Runtime};
use relay_schemas::{Outcome, OutcomeStatus, Planned, Request, Service, encode, samples};

fn accepted(id: &str, partition: &Partition) -> Outgoing {
    let now = relay_clock::Clock::system().now();
    let request = Request {
        request_id: id.into(),
        model: "relay-chat".to_owned(),
        accepted_at: now,
        deadline: now.plus_ms(600_000),
        ..samples::request()
    };
    Outgoing::to_partition(partition, Headers::of(&request), encode(&request))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_request_is_a_dead_letter_with_its_position_ends_as_failed_and_the_next_one_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let partition = Partition::new(REQUESTS, 2);
    let requests = ["lost", "next"].map(|id| accepted(id, &partition));
    let bus: Arc<dyn Bus> = Arc::new(with_damaged(folder.path(), &manifest, &requests, &[0]).await);
    let runtime = Runtime::new(bus.clone());
    let deps = Deps {
        runtime: runtime.clone(),
        identity: Identity {
            service: Service::Planner,
            instance: "planner".into(),
            epoch: 1,
        },
        control: Arc::new(InProcessControl::new(InProcessOptions::default())),
    };
    let running = tokio::spawn(run(Config::default(), deps));

    assert_eq!(buried(&*bus, 1).await, [Position { partition, offset: 0 }]);
    let outcome = &first::<Outcome>(&*bus, OUTCOMES, 1).await[0];
    assert_eq!(
        (
            outcome.request_id.as_str(),
            outcome.status,
            outcome.code.as_deref()
        ),
        ("lost", OutcomeStatus::Failed, Some("record_damaged"))
    );
    let planned = &first::<Planned>(&*bus, PLANNED, 1).await[0];
    assert_eq!(planned.request.request_id.as_str(), "next");

    runtime.shutdown.drain();
    running.await.unwrap().unwrap();
}
