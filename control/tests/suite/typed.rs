//! The typed helpers, over either seam.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, ask, finish, listen, send, serve};
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    Answer, Cancel, FenceAnswer, FenceQuery, Frame, InstanceId, Outcome, OutcomeStatus, Request, RequestId,
    Run, Service, TenantId, TimestampMs, TokenCount, Usage, WinnerAnswer,
};
use tokio::sync::Barrier;

use super::{PATIENCE, subject};

fn cancel(id: &str) -> Cancel {
    Cancel {
        request_id: id.into(),
        tenant: "acme".into(),
        reason: "the client went away".to_owned(),
    }
}

pub async fn typed_messages_arrive_and_garbage_counts_as_lost(control: Arc<dyn Control>) {
    let subject = subject("typed");
    let mut listener = listen::<Cancel>(&*control, &subject).await.unwrap();
    send(&*control, &subject, cancel("one")).await.unwrap();
    control.send(&subject, "garbage".into()).await.unwrap();
    send(&*control, &subject, cancel("two")).await.unwrap();
    for expected in [
        Delivery::Message(cancel("one")),
        Delivery::Lost,
        Delivery::Message(cancel("two")),
    ] {
        let heard = tokio::time::timeout(PATIENCE, listener.next()).await.unwrap();
        assert_eq!(heard, Some(expected));
    }
}

fn query(attempt: u32) -> FenceQuery {
    FenceQuery {
        request_id: RequestId::new("r"),
        attempt,
    }
}

/// Asks until somebody listens: `serve` begins to when it is first polled.
async fn ask_served(control: &dyn Control, subject: &str, attempt: u32) -> FenceAnswer {
    loop {
        match ask(control, subject, &query(attempt), PATIENCE).await {
            Err(ControlError::NoResponder(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => return answer.unwrap(),
        }
    }
}

pub async fn served_questions_are_answered_side_by_side(control: Arc<dyn Control>) {
    let subject = subject("served");
    let both = Arc::new(Barrier::new(2));
    let (serving, asked) = (Arc::clone(&control), subject.clone());
    let served = tokio::spawn(async move {
        serve(serving, &asked, Some("fences"), move |question: FenceQuery| {
            let both = Arc::clone(&both);
            async move {
                // Would wait for ever if one question were answered after the other.
                both.wait().await;
                FenceAnswer {
                    known: true,
                    saw_token: question.attempt == 1,
                }
            }
        })
        .await
    });
    let (first, second) = tokio::join!(
        ask_served(&*control, &subject, 1),
        ask_served(&*control, &subject, 2)
    );
    assert!(first.saw_token && !second.saw_token, "each its own answer");
    control.send(&subject, "no question at all".into()).await.unwrap();
    let (first, second) = tokio::join!(
        ask_served(&*control, &subject, 1),
        ask_served(&*control, &subject, 2)
    );
    assert!(first.saw_token && !second.saw_token, "also after garbage");
    served.abort();
}

pub async fn an_answer_of_the_wrong_kind_is_unreadable(control: Arc<dyn Control>) {
    let subject = subject("wrong");
    let (serving, asked) = (Arc::clone(&control), subject.clone());
    let served = tokio::spawn(async move {
        serve(serving, &asked, None, |_: FenceQuery| async {
            WinnerAnswer {
                outcome: None,
                forgotten: false,
                ..WinnerAnswer::default()
            }
        })
        .await
    });
    let answer = loop {
        match ask::<FenceQuery, FenceAnswer>(&*control, &subject, &query(1), PATIENCE).await {
            Err(ControlError::NoResponder(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => break answer,
        }
    };
    assert!(
        matches!(answer, Err(ControlError::Unreadable { .. })),
        "{answer:?}"
    );
    served.abort();
}

fn request(reply_to: Option<String>) -> Request {
    Request {
        request_id: RequestId::new("r"),
        tenant: TenantId::new("acme"),
        model: "tiny".to_owned(),
        body: "{}".to_owned(),
        request_hash: "hash".to_owned(),
        prompt_tokens: TokenCount(1),
        accepted_at: TimestampMs(1),
        deadline: relay_clock::Clock::system().now().plus_ms(600_000),
        reply_to,
        ..relay_schemas::samples::request()
    }
}

/// A success as readers of outcomes see it; plan and lease play no part here.
fn completed(request: &Request, run: Run, ending: Ending) -> Outcome {
    let planner = Run {
        service: Service::Planner,
        ..run.clone()
    };
    let failed = Ending {
        status: OutcomeStatus::Failed,
        ..ending
    };
    Outcome {
        status: OutcomeStatus::Completed,
        run,
        ..end(
            Known::Request(&Arc::new(request.clone())),
            planner,
            failed,
            TimestampMs(5),
        )
    }
}

pub async fn an_outcome_finishes_its_run_in_frames_that_fit(control: Arc<dyn Control>) {
    let subject = subject("reply");
    let mut frames = listen::<Frame>(&*control, &subject).await.unwrap();
    let run = Run {
        service: Service::Workers,
        instance: InstanceId::new("w"),
        epoch: 1,
        attempt: 1,
    };
    let text = "ä€😀".repeat(control.max_payload() / 4);
    let ending = Ending {
        answer: Some(Arc::new(Answer {
            model: "tiny".to_owned(),
            model_version: "1".to_owned(),
            ..relay_schemas::samples::answer(&text)
        })),
        usage: Usage {
            prompt_tokens: TokenCount(1),
            completion_tokens: TokenCount(9),
        },
        ..Ending::of(OutcomeStatus::Completed)
    };
    let asked = request(Some(subject));
    let outcome = completed(&asked, run.clone(), ending.clone());
    let nobody_waits = completed(&request(None), run, ending);
    finish(&*control, &nobody_waits, 0, true).await;
    finish(&*control, &outcome, 7, true).await;

    let (mut seq, mut seen) = (7, relay_lifecycle::Transcript::default());
    loop {
        let heard = tokio::time::timeout(PATIENCE, frames.next()).await.unwrap();
        let Some(Delivery::Message(frame)) = heard else {
            panic!("a frame was expected, not {heard:?}");
        };
        assert_eq!(frame.seq, seq);
        seq += 1;
        seen.apply(&frame);
        if frame.end.is_some() {
            break;
        }
    }
    assert!(seq > 8, "it did not fit into one frame");
    assert_eq!(seen.first_text().len(), text.len());
    let whole = outcome.answer.as_deref().map(relay_lifecycle::Transcript::of);
    assert!(
        whole.is_some_and(|whole| whole.choices() == seen.choices()),
        "nothing of the answer is lost"
    );
}
