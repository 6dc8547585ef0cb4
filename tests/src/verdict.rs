//! Holds what clients saw and what the store kept against the raw log. Pure.

use std::collections::BTreeMap;

use relay_schemas::{Class, Outcome, OutcomeStatus, RequestId};

use crate::ask::{End, Observation};
use crate::gateway::DEADLINE_GRACE_MS;
use crate::ledger::{Ledger, Line};
use crate::meaning::{Meaning, means};

/// Everything that is not as promised; empty is a proof.
pub fn violations(
    ledger: &Ledger,
    saw: &[Observation],
    traces: Option<&BTreeMap<RequestId, OutcomeStatus>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in ledger
        .accepted
        .keys()
        .filter(|id| !ledger.winners.contains_key(*id))
    {
        wrong.push(format!("{id} was accepted and has no outcome"));
    }
    for id in ledger
        .winners
        .keys()
        .filter(|id| !ledger.accepted.contains_key(*id))
    {
        wrong.push(format!("{id} has an outcome and was never accepted"));
    }
    wrong.extend(saw.iter().filter_map(|saw| against_record(ledger, saw)));
    wrong.extend(
        traces
            .into_iter()
            .flat_map(|traces| against_traces(ledger, traces)),
    );
    wrong.extend(against_batches(ledger));
    wrong
}

/// What a client was told is in the log: its request, if it saw it accepted, and its end, if it was told one.
fn against_record(ledger: &Ledger, saw: &Observation) -> Option<String> {
    let id = RequestId::new(saw.request_id.as_deref()?);
    let winner = ledger.winners.get(&id).map(|(outcome, ..)| outcome);
    let wrong = if saw.accepted() && !ledger.accepted.contains_key(&id) {
        Some(format!(
            "that it was accepted ({:?}), but the log does not hold it",
            saw.end
        ))
    } else {
        match &saw.end {
            End::Finished(_) if winner.is_none() => Some("a finish, but the log holds no outcome".to_owned()),
            End::Finished(reason) => winner.and_then(|outcome| differs(reason, &saw.text, outcome)),
            End::Status(_, code) | End::ErrorEvent(code) => failure(ledger, &id, saw, code),
            End::Left | End::Broken => None,
        }
    };
    wrong.map(|what| format!("{id}: the client saw {what}"))
}

/// A failure that a client was told is the one of the record, or says no more than ingress itself can know.
fn failure(ledger: &Ledger, id: &RequestId, saw: &Observation, code: &str) -> Option<String> {
    let request = ledger.accepted.get(id);
    let winner = ledger.winners.get(id).map(|(outcome, ..)| outcome);
    let is_success =
        |outcome: &Outcome| matches!(outcome.status, OutcomeStatus::Completed | OutcomeStatus::Cached);
    let honest = match means(code) {
        Meaning::Unknown => true,
        Meaning::Refused => request.is_none(),
        // Only of what was recorded as an answer can ingress say that it cannot show it.
        Meaning::NotShown => winner.is_some_and(is_success),
        Meaning::End => {
            let is_recorded =
                winner.is_some_and(|outcome| !is_success(outcome) && outcome.code.as_deref() == Some(code));
            let gave_up = code == "deadline_exceeded"
                && request.is_some_and(|request| saw.at >= request.deadline.plus_ms(DEADLINE_GRACE_MS));
            is_recorded || gave_up
        }
    };
    let recorded = || match winner {
        Some(outcome) => format!("its record says {:?}, {:?}", outcome.status, outcome.code),
        None if request.is_some() => "it was accepted and has no outcome".to_owned(),
        None => "the log does not hold it".to_owned(),
    };
    (!honest).then(|| format!("{:?}, but {}", saw.end, recorded()))
}

fn differs(reason: &str, text: &str, outcome: &Outcome) -> Option<String> {
    if !matches!(outcome.status, OutcomeStatus::Completed | OutcomeStatus::Cached) {
        return Some(format!("a finish, but its record says {:?}", outcome.status));
    }
    let Some(answer) = &outcome.answer else {
        return Some("a finish, but its record has no answer".to_owned());
    };
    let recorded = answer.choices.first().and_then(|choice| choice.finish_reason);
    let recorded = recorded.map_or("nothing", relay_schemas::FinishReason::name);
    if recorded != reason {
        return Some(format!("the finish {reason}, its record says {recorded}"));
    }
    (!answer.content_dropped && answer.first_text() != text)
        .then(|| "another text than its record".to_owned())
}

/// Trace rows = winners.
fn against_traces(ledger: &Ledger, traces: &BTreeMap<RequestId, OutcomeStatus>) -> Vec<String> {
    let missing = ledger
        .winners
        .iter()
        .filter_map(|(id, (outcome, ..))| match traces.get(id) {
            None => Some(format!("{id} has no trace row")),
            Some(status) if *status != outcome.status => Some(format!(
                "{id}: the trace row says {status:?}, the winner {:?}",
                outcome.status
            )),
            Some(_) => None,
        });
    let spare = traces
        .iter()
        .filter(|(id, status)| **status != OutcomeStatus::Refused && !ledger.winners.contains_key(*id));
    missing
        .chain(spare.map(|(id, _)| format!("{id} has a trace row and no winner")))
        .collect()
}

/// Every batch line that the log took has a result, and all its results say the same.
fn against_batches(ledger: &Ledger) -> Vec<String> {
    let unanswered = |line: &&Line| !ledger.batch_results.contains_key(*line);
    let missing = ledger.batch_lines.iter().filter(unanswered);
    let mut wrong: Vec<String> = missing
        .map(|(tenant, batch, line)| format!("{line} of {tenant}'s {batch} was taken and has no result"))
        .collect();
    for (id, request) in ledger
        .accepted
        .iter()
        .filter(|(_, request)| request.class == Class::Batch)
    {
        let Some(line) = &request.batch else {
            wrong.push(format!("{id} is of class batch and names no line"));
            continue;
        };
        let line = (
            request.tenant.clone(),
            line.batch_id.clone(),
            line.custom_id.clone(),
        );
        match ledger.batch_results.get(&line) {
            None => wrong.push(format!("{id}: its batch line has no result")),
            Some(results) if results.iter().any(|result| result.body != results[0].body) => {
                wrong.push(format!("{id}: its batch line has results that differ"));
            }
            Some(_) => {}
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use relay_schemas::{Answer, MicroUsd, Request, Run, Service, TimestampMs, Timings, TokenCount, Usage};

    use super::*;

    const DEADLINE: i64 = 1_000;

    fn request() -> Request {
        Request {
            request_id: "r".into(),
            tenant: "t".into(),
            model: "mock".to_owned(),
            body: String::new(),
            request_hash: String::new(),
            stream: true,
            prompt_tokens: TokenCount(1),
            accepted_at: TimestampMs(0),
            deadline: TimestampMs(DEADLINE),
            ..relay_schemas::samples::request()
        }
    }

    fn outcome(status: OutcomeStatus, code: Option<&str>) -> Outcome {
        let answer = || Answer {
            model: "mock".to_owned(),
            model_version: String::new(),
            ..relay_schemas::samples::answer("a b")
        };
        Outcome {
            request_id: "r".into(),
            tenant: "t".into(),
            status,
            code: code.map(str::to_owned),
            message: None,
            retry_after_ms: None,
            run: Run {
                service: Service::Workers,
                instance: "w".into(),
                epoch: 1,
                attempt: 1,
            },
            request: None,
            planning: None,
            caching: None,
            queueing: None,
            lease: None,
            answer: code.is_none().then(answer).map(Into::into),
            usage: Usage::default(),
            cost_micro_usd: MicroUsd(0),
            timings: Timings::default(),
            ended_at: TimestampMs(0),
        }
    }

    /// What is wrong where one client saw `end` at `at`; the log holds the request, and `winner` where there is one.
    fn judged(winner: Option<Outcome>, end: End, at: i64) -> Option<String> {
        let mut ledger = Ledger::default();
        ledger.accepted.insert("r".into(), request());
        ledger
            .winners
            .extend(winner.map(|outcome| ("r".into(), (outcome, 0, 0))));
        against_record(&ledger, &saw(end, at))
    }

    fn saw(end: End, at: i64) -> Observation {
        Observation {
            request_id: Some("r".to_owned()),
            text: "a b".to_owned(),
            end,
            at: TimestampMs(at),
            began: true,
        }
    }

    fn event(code: &str) -> End {
        End::ErrorEvent(code.to_owned())
    }

    #[test]
    fn a_failure_that_a_client_is_told_is_the_one_of_the_record() {
        let success = || Some((OutcomeStatus::Completed, None));
        let lost = || Some((OutcomeStatus::Failed, Some("worker_lost")));
        let late = DEADLINE + DEADLINE_GRACE_MS;
        let cases = [
            (success(), "worker_lost", 0, false),
            (success(), "dead_letter", 0, false),
            (success(), "", 0, false),
            (lost(), "worker_lost", 0, true),
            (lost(), "backend_error", 0, false),
            (None, "worker_lost", 0, false),
            // An ingress may give up, but not early.
            (success(), "deadline_exceeded", late, true),
            (success(), "deadline_exceeded", late - 1, false),
            (success(), "answer_diverged", 0, true),
            (lost(), "answer_diverged", 0, false),
            (None, "answer_unavailable", 0, false),
            (success(), "unknown_result", 0, true),
            // It said that nothing was accepted.
            (success(), "service_unavailable", 0, false),
        ];
        for (winner, code, at, is_honest) in cases {
            let shown = format!("{code} at {at}, of {winner:?}");
            let winner = winner.map(|(status, code)| outcome(status, code));
            for end in [event(code), End::Status(503, code.to_owned())] {
                assert_eq!(judged(winner.clone(), end, at).is_none(), is_honest, "{shown}");
            }
        }
    }

    #[test]
    fn what_a_client_saw_accepted_is_in_the_log() {
        let finished = End::Finished("stop".to_owned());
        assert_eq!(
            judged(Some(outcome(OutcomeStatus::Completed, None)), finished.clone(), 0),
            None
        );
        let empty = Ledger::default();
        for (end, is_sign) in [
            (finished, true),
            (End::Left, true),
            (End::Broken, true),
            (event("worker_lost"), true),
            (event("unknown_result"), true),
            (End::Status(429, "too_many_in_flight".to_owned()), false),
            (End::Status(400, "invalid_value".to_owned()), false),
        ] {
            let wrong = against_record(&empty, &saw(end.clone(), 0));
            assert_eq!(wrong.is_some(), is_sign, "{end:?}");
        }
        let mut unknown = saw(event("unknown_result"), 0);
        unknown.text.clear();
        assert_eq!(against_record(&empty, &unknown), None);
    }
}
