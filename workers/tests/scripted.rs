//! The whole service on models that answer by a script, as a simulation runs it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use relay_schemas::{ModelState, OutcomeStatus};
use relay_workers::models::Price;
use relay_workers::simulated::{Faults, Pace, ScriptedBackend, ScriptedModel, Scripts};
use relay_workers::testing::House;

const PACE: Pace = Pace {
    most_pieces: 5,
    longest_gap: Duration::from_millis(3),
};

/// Runs a test where there are no sockets: whatever opens one panics.
fn without_sockets(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(test);
}

async fn house(scripts: &Scripts) -> (House, Arc<ScriptedBackend>) {
    let backend = scripts.backend("m", 4, Arc::default());
    let model = ScriptedModel {
        backend: backend.clone(),
        price: Price {
            completion: 1_000_000,
            ..Price::default()
        },
    };
    let models = BTreeMap::from([("m".to_owned(), model)]);
    (House::simulated(models).await.unwrap(), backend)
}

#[test]
fn a_scripted_answer_is_streamed_recorded_and_charged_and_begun_once_however_often_it_is_delivered() {
    without_sockets(async {
        let scripts = Scripts::new(1, PACE);
        let (mut house, _) = house(&scripts).await;
        let mut work = house.work("r-1", "m", "alpha");
        Arc::make_mut(&mut work.request).stream = true;
        let mut frames = house.listen(&mut work).await.unwrap();
        house.dispatch(&work).await.unwrap();
        house.dispatch(&work).await.unwrap();
        let frames = frames.all().await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(outcome.status, OutcomeStatus::Completed);
        let answer = outcome.answer.unwrap();
        let pieces = answer.first_text().lines().count();
        assert_eq!(answer.first_text().lines().next(), Some("m 1 0"));
        let shown: String = frames
            .iter()
            .flat_map(|frame| &frame.deltas)
            .map(|delta| delta.text.as_str())
            .collect();
        assert_eq!(shown, answer.first_text());
        assert_eq!(outcome.cost_micro_usd.0, i64::try_from(pieces).unwrap());

        // The copy was read before this one.
        house.dispatch(&house.work("r-2", "m", "beta")).await.unwrap();
        house.outcome().await.unwrap();
        let begun = scripts.begun();
        let begun: Vec<(&str, u32)> = begun
            .iter()
            .map(|begun| (begun.request_id.as_str(), begun.attempt))
            .collect();
        assert_eq!(begun, [("r-1", 1), ("r-2", 1)]);
    });
}

#[test]
fn each_end_of_a_script_is_what_the_service_makes_of_it() {
    without_sockets(async {
        let scripts = Scripts::new(2, PACE);
        let (mut house, backend) = house(&scripts).await;
        let none = Faults::default();

        scripts.disturb(Faults {
            refused: 1_000,
            ..none
        });
        house
            .dispatch(&house.work("refused", "m", "alpha"))
            .await
            .unwrap();
        let returned = house.returned("refused").await.unwrap();
        assert_eq!(returned.code, "backend_unavailable");

        scripts.disturb(Faults { busy: 1_000, ..none });
        house.dispatch(&house.work("busy", "m", "alpha")).await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(outcome.code.as_deref(), Some("backend_busy"));
        assert!(outcome.retry_after_ms.is_some());

        scripts.disturb(Faults {
            failed: 1_000,
            ..none
        });
        house.dispatch(&house.work("failed", "m", "alpha")).await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(outcome.code.as_deref(), Some("backend_error"));

        scripts.disturb(Faults { hung: 1_000, ..none });
        house.dispatch(&house.work("hung", "m", "alpha")).await.unwrap();
        let holds = |id: &'static str| {
            move |status: &relay_schemas::WorkerStatus| {
                status.in_flight.iter().any(|held| held.request_id.as_str() == id)
            }
        };
        house.status(holds("hung")).await.unwrap();
        house.cancel("hung").await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(outcome.status, OutcomeStatus::Cancelled);

        backend.stop();
        let stopped = |state| state == ModelState::Failed;
        house
            .status(|status| status.capacity.iter().any(|model| stopped(model.state)))
            .await
            .unwrap();
    });
}
