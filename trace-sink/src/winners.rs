//! "Who won?", asked over the control seam by an ingress in doubt.

use std::sync::Arc;

use relay_schemas::{Outcome, WinnerAnswer, WinnerQuery, encode};
use relay_store::Store;

/// The winning outcome, or that none is known (yet). No answer where the store cannot tell: that is not the same.
pub(crate) async fn answer(store: Arc<dyn Store>, query: WinnerQuery, limit: usize) -> Option<WinnerAnswer> {
    match store.winner(&query.request_id).await {
        Ok(winner) => Some(fit(winner.map(|stored| stored.outcome), limit)),
        Err(error) => {
            tracing::warn!(request_id = %query.request_id, %error, "who won cannot be told now");
            None
        }
    }
}

/// What can be left out, the least missed first. What ended the request, and how, always stays.
const LEAVE_OUT: [fn(&mut Outcome); 4] = [
    // The request's hash stays: it tells a repeat from another request under the same key.
    |outcome| {
        if let Some(request) = &mut outcome.request {
            request.canonical.clear();
        }
    },
    |outcome| outcome.planning = None,
    |outcome| {
        if let Some(answer) = &mut outcome.answer {
            answer.text.clear();
            answer.text_dropped = true;
        }
    },
    // Names and reasons of absurd length are all that can be left.
    |outcome| {
        outcome.request = None;
        outcome.message = None;
    },
];

/// The answer in a size that one message can carry.
fn fit(outcome: Option<Outcome>, limit: usize) -> WinnerAnswer {
    let mut answer = WinnerAnswer { outcome };
    for leave_out in LEAVE_OUT {
        if encode(&answer).len() <= limit {
            break;
        }
        if let Some(outcome) = &mut answer.outcome {
            leave_out(outcome);
        }
    }
    answer
}
