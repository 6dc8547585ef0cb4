//! What a run is charged that did not come to its end.

use std::sync::Arc;

use relay_schemas::{MicroUsd, Outcome, OutcomeStatus, TokenCount, Usage, Work};
use relay_workers::testing::scripted::{BodyEnd, Reply};
use relay_workers::testing::until;

use crate::scene::{Scene, TEXT};

/// Millionths of a dollar: one a prompt token, two a token of the answer, one a millisecond.
const PRICE: &str = "price: {prompt: 1000000, completion: 2000000, compute_ms: 1000000}\n    retries: 0";

async fn scene(reply: Reply) -> Scene {
    Scene::with(vec![reply], "/v1", PRICE).await
}

fn work(scene: &Scene) -> Work {
    let mut work = scene.work();
    Arc::make_mut(&mut work.request).prompt_tokens = TokenCount(50);
    work
}

/// Begins a run, and cancels it once it has produced so many tokens.
async fn cancelled(scene: &mut Scene, tokens: u32) -> Outcome {
    scene.house.dispatch(&work(scene)).await.unwrap();
    until(|| scene.requests() == 1).await;
    let shows = |status: &relay_schemas::WorkerStatus| {
        status
            .in_flight
            .iter()
            .any(|held| held.tokens >= TokenCount(tokens))
    };
    scene.house.status(shows).await.unwrap();
    scene.house.cancel("r-1").await.unwrap();
    scene.house.outcome().await.unwrap()
}

/// Its usage is as expected, and its cost follows from that, its time and the prices; the time.
fn charged(outcome: &Outcome, prompt: u32, completion: u32) -> i64 {
    let usage = Usage {
        prompt_tokens: TokenCount(prompt),
        completion_tokens: TokenCount(completion),
    };
    let ms = outcome.timings.compute_ms;
    assert_eq!(outcome.usage, usage, "{:?}", outcome.message);
    let cost = i64::from(prompt) + 2 * i64::from(completion) + ms;
    assert_eq!(outcome.cost_micro_usd, MicroUsd(cost));
    ms
}

fn words(outcome: &Outcome) -> &str {
    outcome.message.as_deref().unwrap()
}

/// The literal case: no prompt and no time.
#[tokio::test]
async fn a_run_that_is_cancelled_is_charged_its_prompt_the_tokens_that_came_and_its_time() {
    let mut scene = scene(Reply::events(&[TEXT, TEXT]).then(BodyEnd::Silence)).await;
    let outcome = cancelled(&mut scene, 2).await;
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    let ms = charged(&outcome, 50, 2);
    assert!(ms >= 1);
    assert_eq!(
        words(&outcome),
        format!(
            "cancelled while it ran; charged are 50 tokens of its prompt (estimated), 2 of its answer and {ms} ms"
        )
    );
}

#[tokio::test]
async fn a_run_that_is_cancelled_before_its_whole_answer_is_there_closes_the_connection_and_is_charged_its_prompt()
 {
    let mut scene = scene(Reply::silence()).await;
    let outcome = cancelled(&mut scene, 0).await;
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    assert_eq!(outcome.answer, None);
    let ms = charged(&outcome, 50, 0);
    assert_eq!(
        words(&outcome),
        format!(
            "cancelled while it ran; charged are 50 tokens of its prompt (estimated), 0 of its answer and {ms} ms"
        )
    );
    until(|| scene.endpoint.closed() == 1).await;
}

#[tokio::test]
async fn a_streamed_run_that_is_cancelled_is_charged_the_same() {
    let mut scene = scene(Reply::events(&[TEXT, TEXT]).then(BodyEnd::Silence)).await;
    let mut work = work(&scene);
    Arc::make_mut(&mut work.request).stream = true;
    let mut frames = scene.house.listen(&mut work).await.unwrap();
    scene.house.dispatch(&work).await.unwrap();
    while frames.next().await.unwrap().tokens < TokenCount(2) {}
    scene.house.cancel("r-1").await.unwrap();
    let outcome = scene.house.outcome().await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    assert!(charged(&outcome, 50, 2) >= 1);
    assert!(words(&outcome).contains("50 tokens of its prompt (estimated), 2 of its answer"));
}

#[tokio::test]
async fn a_run_whose_deadline_passes_before_a_token_came_is_charged_its_prompt_and_its_time() {
    let mut scene = scene(Reply::events(&[]).then(BodyEnd::Silence)).await;
    let mut work = work(&scene);
    Arc::make_mut(&mut work.planning).plan.deadline = relay_clock::Clock::system().now().plus_ms(3_000);
    let outcome = scene.run(&work).await;
    assert_eq!(outcome.status, OutcomeStatus::Expired);
    assert_eq!(scene.requests(), 1, "it was sent");
    assert!(charged(&outcome, 50, 0) >= 1);
    assert!(
        words(&outcome).contains("50 tokens of its prompt (estimated)"),
        "{}",
        words(&outcome)
    );
}

#[tokio::test]
async fn what_the_endpoint_has_counted_until_then_goes_before_the_estimate() {
    let counts = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}],"usage":{"prompt_tokens":41,"completion_tokens":5}}"#;
    let mut scene = scene(Reply::events(&[counts]).then(BodyEnd::Silence)).await;
    let outcome = cancelled(&mut scene, 1).await;
    charged(&outcome, 41, 5);
    assert!(
        words(&outcome).contains("41 tokens of its prompt, 5 of its answer"),
        "{}",
        words(&outcome)
    );
}

/// Sixty refused prompts bound their keys and were charged, though nothing had been computed.
#[tokio::test]
async fn what_an_endpoint_refuses_is_charged_nothing() {
    for (status, body) in [
        (400, "{}"),
        (429, "{}"),
        (503, "{}"),
        (200, r#"{"error":{"code":500}}"#),
    ] {
        let mut scene = scene(Reply::json(status, body)).await;
        let work = work(&scene);
        let outcome = scene.run(&work).await;
        assert_eq!(outcome.status, OutcomeStatus::Failed, "{status}");
        assert_eq!(charged(&outcome, 0, 0), 0, "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_charged_what_came_of_it() {
    let mut scene = scene(Reply::events(&[TEXT]).then(BodyEnd::Cut)).await;
    let work = work(&scene);
    let outcome = scene.run(&work).await;
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    charged(&outcome, 50, 1);
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_waits_for_a_turn_is_charged_nothing() {
    let reply = Reply::events(&[TEXT]).then(BodyEnd::Silence);
    let line = format!("{PRICE}\n    max_concurrent: 1");
    let mut scene = Scene::with(vec![reply], "/v1", &line).await;
    scene.house.dispatch(&work(&scene)).await.unwrap();
    until(|| scene.requests() == 1).await;
    let mut second = work(&scene);
    Arc::make_mut(&mut second.request).request_id = "r-2".into();
    scene.house.dispatch(&second).await.unwrap();
    scene
        .house
        .status(|status| status.in_flight.len() == 2)
        .await
        .unwrap();
    scene.house.cancel("r-2").await.unwrap();
    let outcome = scene.house.outcome().await.unwrap();
    assert_eq!(charged(&outcome, 0, 0), 0);
    assert_eq!(words(&outcome), "cancelled while it ran; nothing was computed");
}
