//! The four classes of errors, and panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relay_bus::topics::{DEAD_LETTERS, REQUESTS};
use relay_runner::{RunnerError, StageError};
use relay_schemas::{DeadLetter, decode};

use crate::bench::{Bench, OUT, Scripted, ended, onward, text, texts, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_dependency_is_waited_for_and_never_makes_a_dead_letter() {
    let bench = Bench::new();
    let away = Arc::new(AtomicBool::new(true));
    let stage = Scripted::new({
        let away = away.clone();
        move |record, _| match (text(record).as_str(), away.load(Ordering::SeqCst)) {
            ("needs it", true) => Err(StageError::Unavailable {
                dependency: "redis",
                reason: "it does not answer".to_owned(),
            }),
            _ => Ok(onward(record)),
        }
    });
    bench.put(&["needs it"]).await;
    let running = bench.start(&stage);
    let health = bench.runtime.health.clone();
    let reason = || async { health.all().get("redis").cloned() };
    until(|| async { reason().await == Some(Some("it does not answer".to_owned())) }).await;
    // Intake pauses: what comes now is not even begun.
    bench.put(&["comes later"]).await;
    assert_eq!(stage.began(), 1);
    away.store(false, Ordering::SeqCst);
    assert_eq!(texts(&bench.read(OUT, 2).await), ["needs it", "comes later"]);
    assert_eq!(reason().await, Some(None));
    bench.drain(running).await;
    assert_eq!(bench.count(DEAD_LETTERS).await, 0);
    assert_eq!(bench.committed().await, Some(2));
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_is_tried_again_and_then_given_up() {
    let bench = Bench::new();
    let stage = Scripted::new(|record, nth| match text(record).as_str() {
        "twice" if nth < 3 => Err(StageError::Retry("not yet".to_owned())),
        "never" => Err(StageError::Retry("again and again".to_owned())),
        _ => Ok(onward(record)),
    });
    bench.put(&["never", "twice", "fine"]).await;
    let running = bench.start(&stage);
    let mut passed = texts(&bench.read(OUT, 2).await);
    passed.sort();
    assert_eq!(passed, ["fine", "twice"]);
    let letter: DeadLetter = decode(&bench.read(DEAD_LETTERS, 1).await[0].value.clone().unwrap()).unwrap();
    assert_eq!((letter.class.as_str(), letter.attempts), ("retries_exhausted", 3));
    assert_eq!(letter.reason, "again and again");
    assert_eq!(letter.value.as_deref(), Some(&b"never"[..]));
    bench.until_committed(3).await;
    assert_eq!(bench.metric("relay_runner_retries_total") as u64, 4);
    assert_eq!(bench.metric("relay_runner_dead_letters_total") as u64, 1);
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_its_record_but_not_the_process() {
    let bench = Bench::new();
    let stage = Scripted::new(|record, _| {
        assert_ne!(text(record), "bad", "this panic belongs to the test");
        Ok(onward(record))
    });
    bench.put(&["bad", "panic in the effect", "good"]).await;
    let running = bench.start(&stage);
    bench.read(OUT, 2).await;
    let letter: DeadLetter = decode(&bench.read(DEAD_LETTERS, 1).await[0].value.clone().unwrap()).unwrap();
    assert_eq!((letter.class.as_str(), letter.attempts), ("poison", 3));
    bench.until_committed(3).await;
    until(|| async { *stage.effects.lock() == ["good"] }).await;
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_ends_the_stage_and_commits_nothing_of_it() {
    let bench = Bench::new();
    let stage = Scripted::new(|_, _| Err(StageError::Fatal("the model file is gone".to_owned())));
    bench.put(&["one"]).await;
    let error = ended(bench.start(&stage)).await.unwrap_err();
    assert!(matches!(error, RunnerError::Stage(reason) if reason == "the model file is gone"));
    assert_eq!(bench.committed().await, None);
    // It can be started again in the same process, metrics included.
    let running = bench.start(&Scripted::echo());
    bench.read(OUT, 1).await;
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let bench = Bench::new();
    let options = Bench::options(&["test.later"]);
    let running = bench.start_on(&bench.runtime, &Scripted::echo(), options);
    let health = bench.runtime.health.clone();
    until(|| async {
        let all = health.all();
        all.get("bus")
            .is_some_and(|reason| reason.as_ref().is_some_and(|text| text.contains("test.later")))
    })
    .await;
    let yaml = "pools: [default]\ntopics: [{ name: test.later, partitions: 1 }]";
    let manifest = relay_bus::topics::Manifest::parse(yaml).unwrap();
    bench.bus.log.apply(&manifest).await.unwrap();
    until(|| async { health.is_ready() }).await;
    bench.drain(running).await;
    assert_eq!(bench.count(REQUESTS).await, 0);
    bench.close();
}
