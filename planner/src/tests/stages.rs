//! The stage: what becomes of one record.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use relay_bus::topics::{OUTCOMES, PLANNED, REQUESTS};
use relay_bus::{Headers, Partition, Position, Record};
use relay_control::{Control, ControlError, Subscription};
use relay_lifecycle::cache_key;
use relay_runner::{Identity, Stage, StageError, Step};
use relay_schemas::{
    Frame, InstanceId, Outcome, OutcomeStatus, Payload, Planned, Registry, Request, Service, TimestampMs,
    decode, encode,
};

use crate::metrics::Metrics;
use crate::reload::InForce;
use crate::stage::PlannerStage;
use crate::testing::{request_with, sample};

/// Keeps what is sent.
#[derive(Default)]
struct Sent(parking_lot::Mutex<Vec<(String, Payload)>>);

#[async_trait]
impl Control for Sent {
    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError> {
        self.0.lock().push((subject.to_owned(), payload));
        Ok(())
    }

    async fn subscribe(&self, _: &str, _: Option<&str>) -> Result<Box<dyn Subscription>, ControlError> {
        Err(ControlError::Unavailable("not part of this test".to_owned()))
    }

    async fn request(&self, subject: &str, _: Payload, _: Duration) -> Result<Payload, ControlError> {
        Err(ControlError::NoResponder(subject.to_owned()))
    }

    fn max_payload(&self) -> usize {
        1_048_576
    }

    async fn probe(&self) -> Result<(), ControlError> {
        Ok(())
    }
}

fn stage() -> (PlannerStage, Arc<Sent>) {
    let sent = Arc::new(Sent::default());
    let stage = PlannerStage {
        policy: InForce::new(sample()),
        identity: Identity {
            service: Service::Planner,
            instance: InstanceId::new("planner-1"),
            epoch: 1,
        },
        schemas: Arc::default(),
        control: sent.clone(),
        metrics: Metrics::register(&prometheus::Registry::new()).expect("fresh"),
        clock: relay_clock::Clock::system(),
    };
    (stage, sent)
}

fn record(value: Bytes) -> Record {
    Record {
        position: Position {
            partition: Partition::new(REQUESTS, 0),
            offset: 7,
        },
        timestamp: TimestampMs(0),
        key: None,
        headers: Headers::default(),
        value: Some(value.into()),
    }
}

/// Accepted just now, for a minute.
fn fresh() -> Request {
    let now = relay_clock::Clock::system().now();
    Request {
        accepted_at: now,
        deadline: now.plus_ms(60_000),
        ..request_with(r#"{"messages":[]}"#)
    }
}

fn assert_headers(headers: &Headers, request: &Request) {
    assert_eq!(headers.request_id().as_ref(), Some(&request.request_id));
    assert_eq!(headers.tenant().as_ref(), Some(&request.tenant));
    assert_eq!(headers.deadline(), Some(request.deadline));
    assert_eq!(
        headers.text(relay_bus::header::REPLY_TO),
        request.reply_to.as_deref()
    );
}

async fn outcome_of(request: &Request) -> (Outcome, Vec<(String, Payload)>) {
    let (stage, sent) = stage();
    let Step {
        publish, mut effects, ..
    } = stage.on_record(&record(encode(request))).await.expect("decided");
    assert_eq!((publish.len(), effects.len()), (1, 1));
    assert_eq!(publish[0].topic, OUTCOMES);
    assert_eq!(
        publish[0].key.as_deref(),
        Some(request.request_id.as_str().as_bytes())
    );
    assert_headers(&publish[0].headers, request);
    assert!(
        sent.0.lock().is_empty(),
        "no frame before the outcome is acknowledged"
    );
    stage.after_ack(effects.remove(0)).await;
    let outcome = Registry::default()
        .decode(publish[0].value.as_deref())
        .expect("an outcome");
    let frames = sent.0.lock().clone();
    (outcome, frames)
}

#[tokio::test]
async fn a_request_becomes_a_plan_under_its_cache_key() {
    let (stage, _) = stage();
    let request = fresh();
    let step = stage.on_record(&record(encode(&request))).await.expect("decided");
    assert_eq!((step.publish.len(), step.effects.len()), (1, 0));
    let out = &step.publish[0];
    let planned: Planned = Registry::default()
        .decode(out.value.as_deref())
        .expect("a planned request");
    let key = cache_key(
        &request.tenant,
        &request.request_hash,
        &planned.planning.plan.signature,
    );
    assert_eq!(
        (out.topic.as_str(), out.key.as_deref()),
        (PLANNED, Some(key.as_bytes()))
    );
    assert_headers(&out.headers, &request);
    assert_eq!(*planned.request, request);
    assert_eq!(planned.planning.plan.candidates[0].pool, "default");
}

#[tokio::test]
async fn an_unknown_model_ends_as_failed_with_its_code_and_a_final_frame() {
    let request = Request {
        model: "nope".to_owned(),
        ..fresh()
    };
    let (outcome, frames) = outcome_of(&request).await;
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Failed, Some("model_not_found"))
    );
    assert_eq!((outcome.run.service, outcome.run.attempt), (Service::Planner, 0));
    let (subject, payload) = frames.last().expect("a final frame");
    let frame: Frame = decode(payload).expect("a frame");
    assert_eq!(Some(subject), request.reply_to.as_ref());
    assert_eq!(
        frame.end.expect("the end").code.as_deref(),
        Some("model_not_found")
    );
}

#[tokio::test]
async fn a_passed_deadline_ends_as_expired() {
    let late = Request {
        deadline: relay_clock::Clock::system().now(),
        ..fresh()
    };
    let (outcome, _) = outcome_of(&late).await;
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Expired, Some("deadline_exceeded"))
    );
    assert!(outcome.planning.is_none());
}

#[tokio::test]
async fn a_deadline_that_the_policy_shortened_into_the_past_ends_as_expired_too() {
    let now = relay_clock::Clock::system().now();
    let old = Request {
        accepted_at: now.plus_ms(-200_000),
        deadline: now.plus_ms(60_000),
        ..fresh()
    };
    let (outcome, _) = outcome_of(&old).await;
    assert_eq!(outcome.status, OutcomeStatus::Expired);
    assert!(outcome.planning.is_some(), "the plan tells why");
}

#[tokio::test]
async fn what_is_no_request_is_poison() {
    let (stage, _) = stage();
    let mut half = encode(&fresh());
    half.truncate(half.len() / 2);
    for value in [Bytes::from_static(b"garbage, long enough"), half] {
        let decided = stage.on_record(&record(value)).await;
        assert!(matches!(decided, Err(StageError::Poison(_))), "{decided:?}");
    }
}
