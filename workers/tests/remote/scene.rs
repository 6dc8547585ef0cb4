//! A worker in front of a scripted endpoint.

use relay_schemas::{Answer, Outcome, OutcomeStatus, Work};
use relay_workers::testing::House;
use relay_workers::testing::scripted::{Reply, Scripted};

/// A worker in front of an endpoint that gives these replies.
pub struct Scene {
    pub house: House,
    pub endpoint: Scripted,
}

pub const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;
pub const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
pub const USAGE: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7,"total_tokens":10}}"#;
pub const DONE: &str = "[DONE]";

impl Scene {
    pub async fn new(replies: Vec<Reply>) -> Self {
        Self::with_url(replies, "/v1").await
    }

    pub async fn with_url(replies: Vec<Reply>, behind: &str) -> Self {
        Self::with(replies, behind, "").await
    }

    /// With one more line about the endpoint.
    pub async fn with(replies: Vec<Reply>, behind: &str, line: &str) -> Self {
        let endpoint = Scripted::start(replies).await.unwrap();
        let models = format!(
            "models:\n  m:\n    backend: openai\n    base_url: \"http://{}{behind}\"\n    upstream_model: theirs\n    \
             api_key_env: PATH\n    {line}\n",
            endpoint.address()
        );
        let house = House::start(&models, |_| {}).await.unwrap();
        Self { house, endpoint }
    }

    pub fn work(&self) -> Work {
        self.house.work("r-1", "m", "hi")
    }

    pub async fn run(&mut self, work: &Work) -> Outcome {
        self.house.dispatch(work).await.unwrap();
        self.house.outcome().await.unwrap()
    }

    /// The outcome of a chat.
    pub async fn outcome(&mut self) -> Outcome {
        let work = self.work();
        self.run(&work).await
    }

    pub fn requests(&self) -> usize {
        self.endpoint.asked().len()
    }

    pub fn not_understood(&self, effect: &str) -> f64 {
        let families = self.house.runtime.metrics.gather();
        let of = families
            .iter()
            .filter(|family| family.name() == "relay_workers_chunks_not_understood_total");
        of.flat_map(prometheus::proto::MetricFamily::get_metric)
            .filter(|metric| metric.get_label()[0].value() == effect)
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }
}

/// The outcome of a chat whose endpoint streams these events.
pub async fn streamed(events: &[&str]) -> Outcome {
    let mut scene = Scene::new(vec![Reply::events(events)]).await;
    let outcome = scene.outcome().await;
    assert_eq!(scene.requests(), 1, "asked and paid once");
    outcome
}

pub fn completed(outcome: &Outcome) -> &Answer {
    assert_eq!(outcome.status, OutcomeStatus::Completed, "{:?}", outcome.message);
    outcome.answer.as_ref().unwrap()
}

pub fn refused(outcome: &Outcome) -> (&str, &str) {
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    (
        outcome.code.as_deref().unwrap(),
        outcome.message.as_deref().unwrap(),
    )
}
