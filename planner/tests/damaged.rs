//! A request that the log damaged, on the whole service.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::sync::Arc;

use relay_bus::testing::{buried, first, turn_a_bit, with_damaged};
use relay_bus::topics::{Manifest, OUTCOMES, PLANNED, REQUESTS};
use relay_bus::{Bus, Headers, Outgoing, Partition, Position};
use relay_control::{InProcessControl, InProcessOptions};
use relay_planner::{Config, Deps, run};
use relay_runner::{Identity, Runtime};
use relay_schemas::{MicroUsd, Outcome, OutcomeStatus, Planned, Request, Service, Usage, encode, samples};

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

async fn planned_on(bus: Arc<dyn Bus>, test: impl AsyncFnOnce(&dyn Bus)) {
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
    test(&*bus).await;
    runtime.shutdown.drain();
    running.await.unwrap().unwrap();
}

/// That `lost` alone has ended, and `next` goes on.
async fn only_the_damaged_one_ends(bus: &dyn Bus, lay_at: Position) {
    assert_eq!(buried(bus, 1).await, [lay_at]);
    let outcome = &first::<Outcome>(bus, OUTCOMES, 1).await[0];
    assert_eq!(
        (
            outcome.request_id.as_str(),
            outcome.status,
            outcome.code.as_deref(),
            outcome.usage,
            outcome.cost_micro_usd,
        ),
        (
            "lost",
            OutcomeStatus::Failed,
            Some("record_damaged"),
            Usage::default(),
            MicroUsd::default(),
        )
    );
    let planned = &first::<Planned>(bus, PLANNED, 1).await[0];
    assert_eq!(planned.request.request_id.as_str(), "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_request_is_a_dead_letter_with_its_position_ends_as_failed_and_the_next_one_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let partition = Partition::new(REQUESTS, 2);
    let requests = ["lost", "next"].map(|id| accepted(id, &partition));
    let bus = with_damaged(folder.path(), &manifest, &requests, &[0]).await;
    let lay_at = Position { partition, offset: 0 };
    planned_on(Arc::new(bus), async |bus| {
        only_the_damaged_one_ends(bus, lay_at).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_request_whose_headers_are_lost_ends_by_what_its_value_says() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let partition = Partition::new(REQUESTS, 2);
    let requests = ["lost", "next"].map(|id| accepted(id, &partition));
    drop(with_damaged(folder.path(), &manifest, &requests, &[]).await);
    turn_a_bit(folder.path(), b"relay-request-id\x04\0\0\0lost");
    let bus = with_damaged(folder.path(), &manifest, &[], &[]).await;
    let lay_at = Position { partition, offset: 0 };
    planned_on(Arc::new(bus), async |bus| {
        only_the_damaged_one_ends(bus, lay_at).await;
    })
    .await;
}
