//! Version N and version N+1 of a service over one seam: N+1 has fields more, and one less.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, ask, listen, send, serve};
use relay_schemas::{
    Codec, Delta, Embedding, FenceAnswer, FenceQuery, Frame, Record, RequestId, Run, Service, TokenCount,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{PATIENCE, subject};

/// A frame of version N+1: without `final`, with `priority`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Frame")]
struct NextFrame {
    request_id: RequestId,
    run: Run,
    seq: u32,
    deltas: Vec<Delta>,
    embeddings: Vec<Embedding>,
    tokens: TokenCount,
    priority: i64,
}

/// A question of version N+1, with `urgency`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "FenceQuery")]
struct NextQuery {
    request_id: RequestId,
    attempt: u32,
    urgency: i64,
}

/// An answer of version N+1, with `tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "FenceAnswer")]
struct NextAnswer {
    known: bool,
    saw_token: bool,
    tokens: i64,
}

/// The schema of `T` with one field more, and without `retired`.
fn evolved<T: Record>(added: &str, retired: Option<&str>) -> Codec {
    let mut schema: Value = serde_json::from_str(T::codec().json()).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| field["name"].as_str() != retired);
    fields.push(json!({"name": added, "type": "long", "doc": "New.", "default": 4}));
    Codec::of(schema.to_string())
}

macro_rules! next_version {
    ($next:ty, $of:ty, $added:literal, $retired:expr) => {
        impl Record for $next {
            const NAME: &'static str = <$of>::NAME;

            fn codec() -> &'static Codec {
                static CODEC: OnceLock<Codec> = OnceLock::new();
                CODEC.get_or_init(|| evolved::<$of>($added, $retired))
            }
        }
    };
}

next_version!(NextFrame, Frame, "priority", Some("final"));
next_version!(NextQuery, FenceQuery, "urgency", None);
next_version!(NextAnswer, FenceAnswer, "tokens", None);

fn frame() -> Frame {
    Frame {
        request_id: "r".into(),
        run: Run {
            service: Service::Workers,
            instance: "w".into(),
            epoch: 1,
            attempt: 1,
        },
        seq: 3,
        deltas: vec![Delta::text("Hello")],
        embeddings: vec![Embedding {
            index: 1,
            values: vec![0.5],
        }],
        tokens: TokenCount(2),
        end: None,
    }
}

fn next_frame(priority: i64) -> NextFrame {
    let now = frame();
    NextFrame {
        request_id: now.request_id,
        run: now.run,
        seq: now.seq,
        deltas: now.deltas,
        embeddings: now.embeddings,
        tokens: now.tokens,
        priority,
    }
}

pub async fn messages_of_two_versions_are_read_both_ways(control: Arc<dyn Control>) {
    let subject = subject("versions");
    let mut of_now = listen::<Frame>(&*control, &subject).await.unwrap();
    let mut of_next = listen::<NextFrame>(&*control, &subject).await.unwrap();
    send(&*control, &subject, next_frame(9)).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, of_now.next()).await.unwrap();
    assert_eq!(
        heard,
        Some(Delivery::Lost),
        "nobody has announced this version yet"
    );
    let heard = tokio::time::timeout(PATIENCE, of_next.next()).await.unwrap();
    assert_eq!(heard, Some(Delivery::Message(next_frame(9))));

    assert!(control.schemas().learn(NextFrame::codec().json()));
    assert!(control.schemas().learn(Frame::codec().json()));
    send(&*control, &subject, next_frame(9)).await.unwrap();
    send(&*control, &subject, frame()).await.unwrap();
    for expected in [frame(), frame()] {
        let heard = tokio::time::timeout(PATIENCE, of_now.next()).await.unwrap();
        assert_eq!(
            heard,
            Some(Delivery::Message(expected)),
            "what was retired reads as its default"
        );
    }
    for expected in [next_frame(9), next_frame(4)] {
        let heard = tokio::time::timeout(PATIENCE, of_next.next()).await.unwrap();
        assert_eq!(
            heard,
            Some(Delivery::Message(expected)),
            "what is new reads as its default"
        );
    }
}

/// Asks until somebody listens.
async fn asked<Q: Record, A: Record>(control: &dyn Control, subject: &str, question: &Q) -> A {
    loop {
        match ask(control, subject, question, PATIENCE).await {
            Err(ControlError::NoResponder(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            answer => return answer.unwrap(),
        }
    }
}

pub async fn questions_of_two_versions_are_answered_both_ways(control: Arc<dyn Control>) {
    for json in [
        FenceQuery::codec().json(),
        FenceAnswer::codec().json(),
        NextQuery::codec().json(),
        NextAnswer::codec().json(),
    ] {
        assert!(control.schemas().learn(json));
    }
    let (now, next) = (subject("served-now"), subject("served-next"));
    let (served_now, served_next) = (control.clone(), control.clone());
    let (at_now, at_next) = (now.clone(), next.clone());
    let serving = [
        tokio::spawn(async move {
            serve(served_now, &at_now, None, |question: FenceQuery| async move {
                FenceAnswer {
                    known: question.request_id.as_str() == "r",
                    saw_token: question.attempt == 2,
                }
            })
            .await
        }),
        tokio::spawn(async move {
            serve(served_next, &at_next, None, |question: NextQuery| async move {
                NextAnswer {
                    known: question.urgency == 4,
                    saw_token: question.attempt == 2,
                    tokens: 7,
                }
            })
            .await
        }),
    ];
    let question = NextQuery {
        request_id: "r".into(),
        attempt: 2,
        urgency: 9,
    };
    let answer: NextAnswer = asked(&*control, &now, &question).await;
    assert_eq!((answer.known, answer.saw_token, answer.tokens), (true, true, 4));
    let question = FenceQuery {
        request_id: "r".into(),
        attempt: 2,
    };
    let answer: FenceAnswer = asked(&*control, &next, &question).await;
    assert_eq!((answer.known, answer.saw_token), (true, true));
    serving.iter().for_each(tokio::task::JoinHandle::abort);
}
