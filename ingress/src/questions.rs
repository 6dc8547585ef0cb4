//! Asks the sink and workers on behalf of a waiting answer, and gives it what they say.

use std::sync::Arc;

use relay_control::{ask, subjects};
use relay_schemas::{Outcome, ReplayAnswer, ReplayQuery, RequestId, TimestampMs, WinnerAnswer, WinnerQuery};

use crate::gateway::Gateway;
use crate::slot::{Question, Slot};

/// Asks in the background. The follower's pauses bound how many are under way.
pub fn put(gateway: &Arc<Gateway>, slot: &Arc<Slot>, questions: Vec<Question>) {
    for question in questions {
        let (gateway, slot) = (Arc::clone(gateway), Arc::clone(slot));
        tokio::spawn(async move { put_one(&gateway, &slot, question).await });
    }
}

async fn put_one(gateway: &Gateway, slot: &Slot, question: Question) {
    match question {
        Question::Winner => {
            if let Some(outcome) = winner(gateway, &slot.request_id).await {
                slot.on_winner(&outcome, TimestampMs::now());
            }
        }
        Question::Replay { run, from_seq } => {
            gateway.metrics.questions.with_label_values(&["worker"]).inc();
            let subject = subjects::replay(&run.instance, run.epoch);
            let query = ReplayQuery {
                request_id: slot.request_id.clone(),
                run,
                from_seq,
            };
            let control = &*gateway.control;
            match ask::<_, ReplayAnswer>(control, &subject, &query, gateway.ask_timeout()).await {
                Ok(answer) => {
                    for frame in answer.frames {
                        slot.on_frame(frame, TimestampMs::now());
                    }
                }
                Err(error) => tracing::debug!(request.id = %slot.request_id, %error, "no replay"),
            }
        }
    }
}

/// How the request ended, if the sink answers and knows.
pub async fn winner(gateway: &Gateway, request: &RequestId) -> Option<Outcome> {
    gateway.metrics.questions.with_label_values(&["sink"]).inc();
    let query = WinnerQuery {
        request_id: request.clone(),
    };
    let control = &*gateway.control;
    match ask::<_, WinnerAnswer>(control, subjects::WINNER, &query, gateway.ask_timeout()).await {
        Ok(answer) => answer.outcome,
        Err(error) => {
            tracing::debug!(request.id = %request, %error, "the sink does not say how it ended");
            None
        }
    }
}
