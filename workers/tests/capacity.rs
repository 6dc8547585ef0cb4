//! What a worker asks for, against what it turns.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use relay_schemas::{Candidate, WorkerStatus};
use relay_workers::testing::mock::{Mock, Settings};
use relay_workers::testing::{House, until};

/// An endpoint that lets everybody wait.
async fn slow() -> Mock {
    let first = Duration::from_mins(1);
    Mock::start(
        0,
        Settings {
            first,
            ..Settings::default()
        },
    )
    .await
    .unwrap()
}

fn slots(status: &WorkerStatus) -> Vec<u32> {
    status.capacity.iter().map(|it| it.slots).collect()
}

/// The literal case: 64 + 32 slots were advertised, whatever was turned; what came beyond that waited at the worker, in order.
#[tokio::test]
async fn a_worker_advertises_what_it_turns_and_turns_what_it_advertises() {
    let mock = slow().await;
    let models = format!(
        "models:\n  mock: {{backend: openai, base_url: \"{}/v1\", upstream_model: u, max_concurrent: 3}}\n",
        mock.url()
    );
    let mut house = House::start(&models, |_| {}).await.unwrap();
    let status = house.status(|_| true).await.unwrap();
    assert_eq!(
        (slots(&status), status.short_slots, status.long_slots),
        (vec![3], 3, 2)
    );
    let dispatch = async |names: std::ops::Range<u32>| {
        for name in names {
            house
                .dispatch(&house.work(&format!("r-{name}"), "mock", "x"))
                .await
                .unwrap();
        }
    };
    dispatch(0..3).await;
    until(|| mock.requests() == 3).await;
    dispatch(3..5).await;
    let held = house.status(|status| status.in_flight.len() == 5).await.unwrap();
    assert_eq!(
        (mock.requests(), held.capacity[0].slots),
        (3, 3),
        "no more are turned"
    );
    house.cancel("r-0").await.unwrap();
    until(|| mock.requests() == 4).await;
}

/// A model whose endpoint is down, and turns hundreds, piled its requests up before the next candidate, which turns two.
#[tokio::test]
async fn runs_that_go_on_with_another_model_take_turns_of_it_and_are_asked_for_no_faster_than_it_turns() {
    let sound = slow().await;
    let models = format!(
        "models:\n  gone: {{backend: openai, base_url: \"http://127.0.0.1:1/v1\", upstream_model: u, retries: 0}}\n  \
         sound: {{backend: openai, base_url: \"{}/v1\", upstream_model: u, max_concurrent: 2}}\n",
        sound.url()
    );
    let mut house = House::start(&models, |_| {}).await.unwrap();
    let slots =
        |status: &relay_schemas::WorkerStatus| status.capacity.iter().map(|it| it.slots).collect::<Vec<_>>();
    house.status(|status| slots(status) == [256, 2]).await.unwrap();
    let mut work = house.work("r-1", "gone", "x");
    Arc::make_mut(&mut work.planning).plan.candidates = ["gone", "sound"]
        .map(|model| Candidate {
            pool: "default".to_owned(),
            model: model.to_owned(),
        })
        .to_vec();
    house.dispatch(&work).await.unwrap();
    house.status(|status| slots(status) == [2, 1]).await.unwrap();
    house.cancel("r-1").await.unwrap();
    house.status(|status| slots(status) == [256, 2]).await.unwrap();
}
