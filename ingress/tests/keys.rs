//! Idempotency keys: which answer belongs to which body.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::sync::Arc;

use harness::second::Second;
use harness::{Harness, completed, failed, ms};
use relay_bus::topics;
use relay_control::subjects;
use relay_lifecycle::{final_of, last_frame};
use relay_schemas::{
    Outcome, OutcomeStatus, ReplayAnswer, ReplayQuery, Request, Service, TokenCount, WinnerAnswer,
    WinnerQuery,
};

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const OTHER: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Bye"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
const KEY: [(&str, &str); 1] = [("idempotency-key", "k")];

#[tokio::test]
async fn of_two_bodies_that_come_under_one_key_at_once_one_gets_on_and_the_other_gets_a_409() {
    let harness = Harness::new().await;
    harness.serve_slow_sink(ms(30));
    let (one, other, ()) = tokio::join!(harness.chat(&KEY, WHOLE), harness.chat(&KEY, OTHER), async {
        let request = harness.accepted().await;
        harness.record(completed(&request, "of the first"));
        harness.complete(&request, "of the first").await;
    });
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text(), other.text());
    let refused = if one.status == 409 { one } else { other };
    assert_eq!(refused.code(), "idempotency_key_reused");
    assert!(
        harness.nothing_taken(topics::REQUESTS),
        "the other was not accepted"
    );
}

#[tokio::test]
async fn a_key_that_another_ingress_gave_to_another_body_is_a_409_also_where_that_ends_later() {
    let harness = Harness::with(|config| config.answers.keyed_silence = ms(20)).await;
    harness.serve_sink().await;
    for (key, body) in [("one", WHOLE), ("two", STREAM)] {
        let key = [("idempotency-key", key)];
        let (response, ()) = tokio::join!(harness.chat(&key, body), async {
            let mut elsewhere = harness.accepted().await;
            "of another body".clone_into(&mut elsewhere.request_hash);
            harness.record(completed(&elsewhere, "to another body"));
        });
        assert_eq!(
            (response.status, response.code().as_str()),
            (409, "idempotency_key_reused"),
            "{}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_key_that_another_ingress_holds_for_another_body_is_a_409_at_once_and_that_body_does_not_run() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let second = Second::beside(&harness).await;
    let first = harness.open(&KEY, WHOLE).await;
    let request = harness.accepted().await;
    let refused = second.chat(&KEY, OTHER).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "idempotency_key_reused"),
        "{}",
        refused.text()
    );
    assert!(harness.nothing_taken(topics::REQUESTS), "it was not accepted");
    let (repeat, ()) = tokio::join!(second.chat(&KEY, WHOLE), async {
        let again = harness.accepted().await;
        assert_eq!(again.request_id, request.request_id, "the same body meets it");
        harness.record(completed(&request, "Hello"));
        harness.complete(&request, "Hello").await;
    });
    assert_eq!((repeat.status, first.rest().await.status), (200, 200));
}

#[tokio::test]
async fn a_key_that_another_ingress_held_and_that_is_free_again_is_nobodys() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let second = Second::beside(&harness).await;
    let rejected =
        |request: &Request| failed(request, Service::Scheduler, OutcomeStatus::Rejected, "queue_full");
    let (status, first) = told(&harness, WHOLE, rejected).await;
    assert_eq!(status, 429);
    let (other, ()) = tokio::join!(second.chat(&KEY, OTHER), async {
        let request = harness.accepted().await;
        assert_ne!(request.request_id, first.request_id);
        harness.record(completed(&request, "Hello"));
        harness.complete(&request, "Hello").await;
    });
    assert_eq!(other.status, 200, "{}", other.text());
}

#[tokio::test]
async fn frames_of_a_body_that_had_the_key_before_do_not_reach_the_one_that_has_it_now() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let mut open = harness.open(&KEY, STREAM).await;
    let request = harness.accepted().await;
    let subject = request.reply_to.as_deref().unwrap();
    let (id, _) = subject.rsplit_once('-').unwrap();
    let before = Request {
        reply_to: Some(format!("{id}-{}", "0".repeat(16))),
        ..request.clone()
    };
    harness.frame(&before, 0, "of another body").await;
    harness.frame(&request, 0, "own").await;
    open.until("own").await;
    harness.record(completed(&request, "own"));
    harness.end(&request, 1, &completed(&request, "own")).await;
    let rest = open.rest().await.text();
    assert!(!rest.contains("of another body"), "{rest}");
    assert!(rest.contains("[DONE]"), "{rest}");
}

/// The end of a request as the sink has it, told to `body` under the one key.
async fn told(harness: &Harness, body: &str, end: impl FnOnce(&Request) -> Outcome) -> (u16, Request) {
    let (response, request) = tokio::join!(harness.chat(&KEY, body), async {
        let request = harness.accepted().await;
        let outcome = end(&request);
        harness.record(outcome.clone());
        harness.end(&request, 0, &outcome).await;
        request
    });
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_ne!(
        response.header("x-should-retry"),
        Some("false"),
        "a repeat is no harm: {}",
        response.text()
    );
    (response.status, request)
}

#[tokio::test]
async fn a_key_is_free_after_an_end_that_was_not_charged_and_a_repeat_runs_anew() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let ends = [
        (Service::Scheduler, OutcomeStatus::Rejected, "queue_full", 429),
        (Service::Planner, OutcomeStatus::Expired, "deadline_exceeded", 504),
        (Service::Scheduler, OutcomeStatus::Cancelled, "cancelled", 499),
        (Service::Planner, OutcomeStatus::Failed, "model_not_found", 404),
        (Service::Scheduler, OutcomeStatus::Failed, "worker_lost", 503),
    ];
    let mut ids = std::collections::BTreeSet::new();
    for (service, status, code, expected) in ends {
        let end = |request: &Request| failed(request, service, status, code);
        let (status, request) = told(&harness, WHOLE, end).await;
        assert_eq!(status, expected);
        assert!(ids.insert(request.request_id), "{code}: a request of its own");
    }
    let answer = |request: &Request| completed(request, "at last");
    // The key is nobody's: another body may have it.
    let (status, last) = told(&harness, OTHER, answer).await;
    assert_eq!(status, 200);
    let again = harness.chat(&KEY, OTHER).await;
    assert_eq!(again.header("x-request-id"), Some(last.request_id.as_str()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(harness.chat(&KEY, WHOLE).await.status, 409);
    assert!(harness.nothing_taken(topics::REQUESTS));
}

#[tokio::test]
async fn a_key_is_bound_to_a_failure_that_was_charged() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let (first, ()) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let request = harness.accepted().await;
        let mut outcome = failed(&request, Service::Workers, OutcomeStatus::Failed, "backend_error");
        outcome.usage.completion_tokens = TokenCount(1);
        harness.record(outcome.clone());
        harness.end(&request, 0, &outcome).await;
    });
    let again = harness.chat(&KEY, WHOLE).await;
    for response in [&first, &again] {
        assert_eq!(response.status, 502);
        assert_eq!(response.header("x-should-retry"), Some("false"));
    }
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert!(harness.nothing_taken(topics::REQUESTS));
}

/// The sink remembers that the first try ended, but no longer how: its id is used up.
#[tokio::test]
async fn a_repeat_after_its_keys_life_runs_anew_under_another_id() {
    let harness = Harness::new().await;
    let (response, first) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let sink = harness.serve_sink().await;
        let request = harness.accepted().await;
        harness.record(completed(&request, "long ago"));
        harness.complete(&request, "long ago").await;
        (request, sink)
    });
    assert_eq!(response.status, 200, "{}", response.text());
    let (first, sink) = first;
    sink.abort();
    let known = std::sync::Arc::new(parking_lot::Mutex::new(None::<Outcome>));
    let (forgotten, kept) = (first.request_id.clone(), known.clone());
    let answer = move |query: WinnerQuery| {
        let outcome = kept
            .lock()
            .clone()
            .filter(|kept| kept.request_id == query.request_id);
        std::future::ready(WinnerAnswer {
            outcome,
            forgotten: query.request_id == forgotten,
            ..WinnerAnswer::default()
        })
    };
    let control = harness.control.clone();
    tokio::spawn(relay_control::serve(
        control,
        relay_control::subjects::WINNER,
        None,
        answer,
    ));
    let (response, again) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let request = harness.accepted().await;
        *known.lock() = Some(completed(&request, "anew"));
        harness.complete(&request, "anew").await;
        request
    });
    assert_eq!(response.json()["choices"][0]["message"]["content"], "anew");
    assert_ne!(again.request_id, first.request_id);
}

/// `store: false`, or too large: the record has no content.
fn without_content(outcome: &Outcome) -> Outcome {
    let mut kept = outcome.clone();
    Arc::make_mut(kept.answer.as_mut().unwrap()).drop_content();
    kept
}

#[tokio::test]
async fn a_repeat_whose_answer_is_not_kept_gets_it_from_the_worker_for_as_long_as_that_holds_it() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let (first, (request, outcome)) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let request = harness.accepted().await;
        let outcome = completed(&request, "a secret");
        harness.record(without_content(&outcome));
        harness.end(&request, 0, &outcome).await;
        (request, outcome)
    });
    assert_eq!(first.status, 200, "{}", first.text());
    let frames = vec![last_frame(&outcome, 0, true)];
    let subject = subjects::replay(&outcome.run.instance, outcome.run.epoch);
    let replay = move |_: ReplayQuery| {
        std::future::ready(ReplayAnswer {
            frames: frames.clone(),
        })
    };
    let worker = relay_control::serve(harness.control.clone(), &subject, None, replay);
    let repeats = async {
        for body in [WHOLE, STREAM] {
            let repeat = harness.chat(&KEY, body).await;
            assert_eq!(repeat.status, 200, "{}", repeat.text());
            assert!(repeat.text().contains("a secret"), "{}", repeat.text());
            assert_eq!(repeat.header("idempotent-replayed"), Some("true"));
            assert_eq!(repeat.header("x-request-id"), Some(request.request_id.as_str()));
        }
    };
    tokio::select! {
        _ = worker => unreachable!("it serves until it is dropped"),
        () = repeats => {}
    }
    let gone = harness.chat(&KEY, WHOLE).await;
    assert_eq!((gone.status, gone.code().as_str()), (500, "answer_unavailable"));
    assert_eq!(gone.header("idempotent-replayed"), Some("true"));
    assert!(harness.nothing_taken(topics::REQUESTS), "nothing ran again");
}

#[tokio::test]
async fn a_repeat_whose_answer_came_from_a_cache_and_is_not_kept_is_told_so_and_asks_no_worker() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let (first, ()) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let request = harness.accepted().await;
        let mut cached = completed(&request, "a secret");
        (cached.status, cached.run.service) = (OutcomeStatus::Cached, Service::CacheService);
        harness.record(without_content(&cached));
        harness.end(&request, 0, &cached).await;
    });
    assert_eq!(first.status, 200, "{}", first.text());
    let repeat = harness.chat(&KEY, WHOLE).await;
    assert_eq!(
        (repeat.status, repeat.code().as_str()),
        (500, "answer_unavailable")
    );
    let asked = harness
        .metric(r#"relay_ingress_questions_total{to="worker"}"#)
        .await;
    assert_eq!(asked, None);
}

#[tokio::test]
async fn a_repeat_of_what_failed_is_told_how_also_where_what_it_said_is_not_kept() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let broken_off = |request: &Request| {
        let outcome = Outcome {
            status: OutcomeStatus::Failed,
            code: Some("worker_lost".to_owned()),
            ..completed(request, "a sec")
        };
        without_content(&outcome)
    };
    let first = async {
        let request = harness.accepted().await;
        let outcome = broken_off(&request);
        harness.record(outcome.clone());
        harness
            .frame_of(&request, &outcome.run, 0, "", Some(final_of(&outcome)))
            .await;
    };
    let (first, ()) = tokio::join!(harness.chat(&KEY, WHOLE), first);
    let repeat = harness.chat(&KEY, WHOLE).await;
    for told in [first, repeat] {
        assert_eq!((told.status, told.code().as_str()), (503, "worker_lost"));
    }
}
