//! What must hold at the end of every run, whatever happened in it.

use std::collections::BTreeSet;

use relay_lifecycle::is_success;
use relay_schemas::{Outcome, Request};
use relay_workers::simulated::Begun;
use serde_json::Value;

use super::client::Told;
use super::evidence::Evidence;
use super::schedule::{Call, Schedule};

/// How long after its deadline a request ends at the latest: the session of a dead sweeper, the
/// margin of the next one, some of its rounds, and its questions to the sink.
const LATEST_MS: i64 = 20_000;
/// What a client is told where nobody could tell it how its request ended.
const UNTOLD: [&str; 6] = [
    "unknown_result",
    "shutting_down",
    "deadline_exceeded",
    "answer_diverged",
    "answer_unavailable",
    "cancelled",
];

/// What does not hold. Empty is what is promised.
pub(crate) fn check(
    schedule: &Schedule,
    evidence: &Evidence,
    told: &[(Call, Told)],
    begun: &[Begun],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for request in evidence.requests.values() {
        wrong.extend(ended(request, evidence));
    }
    for (call, told) in told {
        wrong.extend(truth(call, told, evidence));
    }
    let mut runs = BTreeSet::new();
    for Begun {
        request_id, attempt, ..
    } in begun
    {
        if !runs.insert((request_id, attempt)) {
            wrong.push(format!("attempt {attempt} of {request_id} ran twice"));
        }
    }
    if schedule.is_calm() {
        wrong.extend(calm(evidence, told, begun));
    }
    wrong
}

/// It ended, in time, and the tables say how.
fn ended(request: &Request, evidence: &Evidence) -> Option<String> {
    let id = &request.request_id;
    let Some(winner) = evidence.outcomes.get(id).and_then(|outcomes| outcomes.first()) else {
        return Some(format!("{id} was accepted and never ended"));
    };
    let late_ms = winner.ended_at.since_ms(request.deadline);
    if late_ms > LATEST_MS {
        return Some(format!(
            "{id} ended {late_ms} ms after its deadline, as {}",
            winner.status.name()
        ));
    }
    match evidence.winners.get(id) {
        Some(kept) if **kept == *winner => None,
        Some(kept) => Some(format!(
            "the tables have {} of {} for {id}, whose first outcome is {} of {}",
            kept.status.name(),
            kept.run.instance,
            winner.status.name(),
            winner.run.instance
        )),
        None => Some(format!("the tables do not know how {id} ended")),
    }
}

/// What the client was told is what the log says.
fn truth(call: &Call, told: &Told, evidence: &Evidence) -> Option<String> {
    let winner = |id| evidence.outcomes.get(id).and_then(|outcomes| outcomes.first());
    match told {
        Told::Answer { id, text } => match winner(id) {
            None => Some(format!("a client was told an answer to {id}, which never ended")),
            Some(winner) if !is_success(winner.status) => Some(format!(
                "a client was told an answer to {id}, which ended as {}",
                winner.status.name()
            )),
            Some(winner) if !is_of(call, winner) => Some(format!(
                "a client was told an answer to {id}, which is of another body than its own: {call:?}"
            )),
            Some(winner) => {
                let recorded = winner.answer.as_ref().map_or("", |answer| answer.first_text());
                (recorded != text)
                    .then(|| format!("a client was told {text:?} of {id}, whose record says {recorded:?}"))
            }
        },
        Told::Error { id, code } => match winner(id) {
            // Under its key another body was first, which nobody knew before it ended.
            Some(winner) if code == "idempotency_key_reused" && !is_of(call, winner) => None,
            Some(winner) if is_success(winner.status) && !UNTOLD.contains(&code.as_str()) => Some(format!(
                "a client was told {code} of {id}, which ended as {}",
                winner.status.name()
            )),
            _ => None,
        },
        Told::CutOff | Told::Left => None,
        Told::Nothing(what) => Some(format!("a client that asked {call:?} was told nothing: {what}")),
    }
}

/// Whether what ended is what the client asked for, and not only what it asked under.
fn is_of(call: &Call, outcome: &Outcome) -> bool {
    let asks = |body: &str| {
        let mut body: Value = serde_json::from_str(body).unwrap_or_default();
        // How the answer travels is no part of what is asked.
        body["stream"] = Value::Bool(call.stream);
        body == call.body()
    };
    let request = outcome.request.as_ref();
    request.is_none_or(|request| asks(&request.body))
}

/// Where nothing goes wrong nothing is done twice, and whoever waits for long enough is answered.
fn calm(evidence: &Evidence, told: &[(Call, Told)], begun: &[Begun]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, outcomes) in &evidence.outcomes {
        if outcomes.len() > 1 {
            wrong.push(format!(
                "{id} ended {} times, and nothing went wrong",
                outcomes.len()
            ));
        }
    }
    for begun in begun.iter().filter(|begun| begun.attempt > 1) {
        wrong.push(format!(
            "attempt {} of {} ran, and nothing went wrong",
            begun.attempt, begun.request_id
        ));
    }
    for (call, told) in told {
        let waits = call.leaves.is_none() && call.deadline.as_secs() >= 10;
        let may_fail = call.model == "absent" || call.key.is_some();
        if waits && !may_fail && !matches!(told, Told::Answer { .. }) {
            wrong.push(format!(
                "nothing went wrong, and a client that asked {call:?} was told {told:?}"
            ));
        }
    }
    wrong
}
