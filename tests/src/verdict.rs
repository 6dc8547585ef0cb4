//! Holds what clients saw and what the store kept against the raw log. Pure.

use std::collections::BTreeMap;

use relay_schemas::{Class, Outcome, OutcomeStatus, RequestId};

use crate::ask::{End, Saw};
use crate::ledger::Ledger;

/// Everything that is not as promised; empty is a proof.
pub fn violations(
    ledger: &Ledger,
    saw: &[Saw],
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

/// No client saw a finish that differs from its record.
fn against_record(ledger: &Ledger, saw: &Saw) -> Option<String> {
    let id = RequestId::new(saw.request_id.as_deref()?);
    let winner = ledger.winners.get(&id).map(|(outcome, ..)| outcome);
    let told = match (&saw.end, winner) {
        (End::Finished(_), None) => Some("finished, but the log holds no outcome".to_owned()),
        (End::Finished(reason), Some(outcome)) => differs(reason, &saw.text, outcome),
        (End::ErrorEvent(_) | End::Left | End::Broken | End::Status(..), _) => None,
    };
    told.map(|what| format!("{id}: the client saw {what}"))
}

fn differs(reason: &str, text: &str, outcome: &Outcome) -> Option<String> {
    if !matches!(outcome.status, OutcomeStatus::Completed | OutcomeStatus::Cached) {
        return Some(format!("a finish, but its record says {:?}", outcome.status));
    }
    let Some(answer) = &outcome.answer else {
        return Some("a finish, but its record has no answer".to_owned());
    };
    if answer.finish_reason != reason {
        return Some(format!(
            "the finish {reason}, its record says {}",
            answer.finish_reason
        ));
    }
    (!answer.text_dropped && answer.text != text).then(|| "another text than its record".to_owned())
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
    let unanswered = |line: &&(String, String)| !ledger.batch_results.contains_key(*line);
    let missing = ledger.batch_lines.iter().filter(unanswered);
    let mut wrong: Vec<String> = missing
        .map(|(batch, line)| format!("{line} of {batch} was taken and has no result"))
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
        match ledger
            .batch_results
            .get(&(line.batch_id.clone(), line.custom_id.clone()))
        {
            None => wrong.push(format!("{id}: its batch line has no result")),
            Some(results) if results.iter().any(|result| result.body != results[0].body) => {
                wrong.push(format!("{id}: its batch line has results that differ"));
            }
            Some(_) => {}
        }
    }
    wrong
}
