//! "Who won?", asked over the control seam by an ingress that the log cannot tell.

use std::sync::Arc;

use relay_schemas::{Outcome, WinnerAnswer, WinnerQuery, encode};
use relay_store::Traces;

/// The winning outcome, or that none is known (yet). No answer where the store cannot tell: that is not the same.
pub(crate) async fn answer(
    traces: Arc<dyn Traces>,
    query: WinnerQuery,
    limit: usize,
) -> Option<WinnerAnswer> {
    match traces.find(&query.request_id).await {
        Ok(winner) => Some(fit(winner.map(|logged| logged.outcome), limit)),
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
            request.body.clear();
        }
    },
    |outcome| outcome.planning = None,
    |outcome| {
        if let Some(answer) = &mut outcome.answer {
            answer.drop_content();
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

#[cfg(test)]
mod tests {
    use relay_schemas::{OutcomeStatus, samples};

    use super::*;

    fn outcome(body: usize, text: usize, reason: usize) -> Outcome {
        let mut outcome = samples::outcome();
        (outcome.caching, outcome.queueing, outcome.lease) = (None, None, None);
        outcome.status = OutcomeStatus::Failed;
        outcome.code = Some("no_plan".to_owned());
        outcome.message = Some("m".repeat(reason));
        outcome.answer = Some(samples::answer(&"t".repeat(text)));
        if let Some(request) = &mut outcome.request {
            request.body = "c".repeat(body);
            "hash".clone_into(&mut request.request_hash);
        }
        if let Some(planning) = &mut outcome.planning {
            planning.adjustments.push("a".repeat(500));
        }
        outcome
    }

    /// What is left of the body, plan, answer's text and reason.
    fn left(body: usize, text: usize, reason: usize) -> (bool, bool, bool, bool) {
        const LIMIT: usize = 1_000;
        let answer = fit(Some(outcome(body, text, reason)), LIMIT);
        assert!(encode(&answer).len() <= LIMIT);
        let outcome = answer.outcome.expect("it never leaves out the outcome");
        assert_eq!(
            (outcome.status, outcome.code.as_deref()),
            (OutcomeStatus::Failed, Some("no_plan"))
        );
        let answer = outcome.answer.expect("nor the answer's facts");
        assert_eq!(answer.content_dropped, answer.first_text().is_empty());
        let request = outcome.request;
        let hash_stays = request
            .as_ref()
            .is_none_or(|request| request.request_hash == "hash");
        assert!(hash_stays);
        (
            request.is_some_and(|request| !request.body.is_empty()),
            outcome.planning.is_some(),
            !answer.first_text().is_empty(),
            outcome.message.is_some(),
        )
    }

    #[test]
    fn what_does_not_fit_is_left_out_the_least_missed_first() {
        assert_eq!(left(100, 100, 10), (true, true, true, true));
        assert_eq!(left(2_000, 100, 10), (false, true, true, true));
        assert_eq!(left(2_000, 400, 10), (false, false, true, true));
        assert_eq!(left(10, 2_000, 10), (false, false, false, true));
        assert_eq!(left(10, 10, 2_000), (false, false, false, false));
    }

    #[test]
    fn that_nothing_is_known_fits_always() {
        assert_eq!(fit(None, 1).outcome, None);
    }
}
