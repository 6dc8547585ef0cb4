//! What becomes of a request: a plan, or its end. Pure.

use std::sync::Arc;

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{Outcome, OutcomeStatus, Planned, Planning, Request, Run, TimestampMs};

use crate::plan::replan;
use crate::policy::Policy;

/// Plans `request` under `policy`, as `run`.
///
/// # Errors
/// The outcome that ends it: its deadline has passed, or the policy has no plan for it.
pub fn decide(
    policy: &Policy,
    request: &Arc<Request>,
    run: Run,
    now: TimestampMs,
) -> Result<Planning, Box<Outcome>> {
    let ended = |known: Known<'_>, ending: Ending| Box::new(end(known, run, ending, now));
    if now >= request.deadline {
        return Err(ended(Known::Request(request), expired()));
    }
    let planning = match replan(policy, request, now) {
        Ok(planning) => planning,
        Err(refusal) => {
            let ending = Ending::because(OutcomeStatus::Failed, refusal.code, refusal.message);
            return Err(ended(Known::Request(request), ending));
        }
    };
    if now < planning.plan.deadline {
        return Ok(planning);
    }
    let planned = Planned {
        request: Arc::clone(request),
        planning: planning.into(),
    };
    Err(ended(Known::Planned(&planned), expired()))
}

fn expired() -> Ending {
    let message = "the deadline passed before the request was planned";
    Ending::because(OutcomeStatus::Expired, "deadline_exceeded", message)
}
