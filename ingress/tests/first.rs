//! Which outcome of a request under an idempotency key is its first: told by the log where that is certain, else by the tables.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Harness, completed, failed, ms};
use relay_bus::{Bus, topics};
use relay_control::subjects;
use relay_schemas::{FoldedOffset, Outcome, OutcomeStatus, Service, WinnerAnswer, WinnerQuery};

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
const KEY: [(&str, &str); 1] = [("idempotency-key", "k")];

/// By figures: the wait for the tables doubled the time of an answer under a key.
#[tokio::test]
async fn under_a_key_the_log_itself_tells_the_winner_where_the_tables_reach_as_far_as_what_was_read() {
    let harness = Harness::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, bus) = (asked.clone(), harness.bus.clone());
    let sink = move |_: WinnerQuery| {
        counted.fetch_add(1, Ordering::SeqCst);
        let bus = bus.clone();
        async move {
            let mut folded = Vec::new();
            for partition in 0..bus.partitions(topics::OUTCOMES).await.unwrap() {
                folded.push(FoldedOffset {
                    topic: topics::OUTCOMES.to_owned(),
                    partition,
                    next: 0,
                });
            }
            // It never hears of an end.
            WinnerAnswer {
                folded,
                ..WinnerAnswer::default()
            }
        }
    };
    let serving = relay_control::serve(harness.control.clone(), subjects::WINNER, None, sink);
    let serving = tokio::spawn(serving).abort_handle();
    harness::until_a_sink_answers(&*harness.control).await;
    let before = asked.load(Ordering::SeqCst);
    let (response, ()) = tokio::join!(harness.chat(&KEY, STREAM), async {
        let request = harness.accepted().await;
        // From here on no question is answered.
        serving.abort();
        harness.complete(&request, "Hello").await;
    });
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("Hello") && response.text().contains("[DONE]"));
    assert_eq!(asked.load(Ordering::SeqCst), before + 1, "before it was accepted");
}

#[tokio::test]
async fn an_outcome_that_was_read_before_a_request_under_its_key_came_is_left_to_the_tables() {
    let harness = Harness::with(|config| config.answers.keyed_silence = ms(20)).await;
    let sink = harness.serve_sink().await;
    let first = async {
        let request = harness.accepted().await;
        let rejected = failed(
            &request,
            Service::Scheduler,
            OutcomeStatus::Rejected,
            "queue_full",
        );
        harness.record(rejected.clone());
        harness.end(&request, 0, &rejected).await;
        rejected
    };
    let (told, before) = tokio::join!(harness.chat(&KEY, WHOLE), first);
    assert_eq!(told.status, 429);
    // Tables that are folded no further than where this ingress began to read know nothing of it.
    sink.abort();
    let known = Arc::new(parking_lot::Mutex::new(None));
    let outcome = known.clone();
    let sink = move |_: WinnerQuery| {
        let outcome: Option<Outcome> = outcome.lock().clone();
        let folded = FoldedOffset {
            topic: topics::OUTCOMES.to_owned(),
            partition: 0,
            next: 0,
        };
        std::future::ready(WinnerAnswer {
            outcome,
            folded: vec![folded],
            ..WinnerAnswer::default()
        })
    };
    let serving = relay_control::serve(harness.control.clone(), subjects::WINNER, None, sink);
    tokio::spawn(serving);
    let nobody = WinnerQuery {
        request_id: "nobody".into(),
    };
    // The one that was stopped may have been asked as well, and says nothing.
    harness::eventually(async || {
        let ask = relay_control::ask(&*harness.control, subjects::WINNER, &nobody, ms(100));
        let answer: Option<WinnerAnswer> = ask.await.ok();
        answer.filter(|answer| !answer.folded.is_empty())
    })
    .await;
    let (told, ()) = tokio::join!(harness.chat(&KEY, WHOLE), async {
        let again = harness.accepted().await;
        assert_eq!(again.request_id, before.request_id, "it is met again");
        // A second outcome of the same request is not its end, and the first one is told once it is folded.
        harness.append(&completed(&again, "a second")).await;
        *known.lock() = Some(before.clone());
    });
    assert_eq!((told.status, told.code().as_str()), (429, "queue_full"));
}
