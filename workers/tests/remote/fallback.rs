//! An answer that breaks off, and the candidates behind the one that gave it.

use std::sync::Arc;

use relay_schemas::{Candidate, OutcomeStatus, TokenCount, Work};
use relay_workers::testing::House;
use relay_workers::testing::scripted::{BodyEnd, Reply, Scripted};

use crate::scene::{DONE, STOP, TEXT, USAGE, completed, refused};

const OTHER: &str = r#"{"choices":[{"index":0,"delta":{"content":"from the start"}}]}"#;

/// A house with a model whose answer breaks off, and one that answers.
async fn house() -> (House, Scripted, Scripted) {
    let breaks = Scripted::start(vec![Reply::events(&[TEXT, TEXT]).then(BodyEnd::Cut)])
        .await
        .unwrap();
    let sound = Scripted::start(vec![Reply::events(&[OTHER, STOP, USAGE, DONE])])
        .await
        .unwrap();
    let models = format!(
        "models:\n  breaks: {{backend: openai, base_url: \"http://{}/v1\", upstream_model: u}}\n  \
         sound: {{backend: openai, base_url: \"http://{}/v1\", upstream_model: u}}\n",
        breaks.address(),
        sound.address()
    );
    (House::start(&models, |_| {}).await.unwrap(), breaks, sound)
}

fn work(house: &House, id: &str, candidates: &[(&str, &str)]) -> Work {
    let mut work = house.work(id, "breaks", "hi");
    let candidate = |(pool, model): &(&str, &str)| Candidate {
        pool: (*pool).to_owned(),
        model: (*model).to_owned(),
    };
    Arc::make_mut(&mut work.planning).plan.candidates = candidates.iter().map(candidate).collect();
    work
}

#[tokio::test]
async fn an_answer_that_broke_off_before_a_client_saw_any_of_it_is_given_by_the_next_candidate_alone() {
    let (mut house, breaks, sound) = house().await;
    let candidates = [("default", "breaks"), ("default", "sound")];
    let whole = work(&house, "whole", &candidates);
    house.dispatch(&whole).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    let answer = completed(&outcome);
    assert_eq!(
        (answer.first_text(), answer.model.as_str()),
        ("from the start", "sound")
    );
    assert_eq!(
        outcome.usage.completion_tokens,
        TokenCount(7),
        "charged as what it is"
    );
    assert_eq!(
        (breaks.asked().len(), sound.asked().len()),
        (1, 1),
        "no endpoint is asked twice"
    );

    let mut streamed = work(&house, "streamed", &candidates);
    Arc::make_mut(&mut streamed.request).stream = true;
    let _frames = house.listen(&mut streamed).await.unwrap();
    house.dispatch(&streamed).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(refused(&outcome).0, "backend_error");
    assert_eq!(outcome.answer.unwrap().first_text(), "hellohello", "it was shown");
    assert_eq!(sound.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_broke_off_unseen_is_given_back_for_another_pool() {
    let (mut house, _breaks, _sound) = house().await;
    let work = work(
        &house,
        "elsewhere",
        &[("default", "breaks"), ("elsewhere", "sound")],
    );
    house.dispatch(&work).await.unwrap();
    let status = house.status(|status| !status.returned.is_empty()).await.unwrap();
    assert_eq!(status.returned[0].code, "backend_error");
}

#[tokio::test]
async fn where_no_candidate_is_left_the_failure_tells_what_had_come() {
    let (mut house, _breaks, _sound) = house().await;
    let work = work(&house, "alone", &[("default", "breaks")]);
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.answer.unwrap().first_text(), "hellohello");
}
