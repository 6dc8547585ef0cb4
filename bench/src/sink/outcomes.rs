//! Outcomes as the pipeline's requests leave them behind.

use relay_schemas::{ConditionTrace, RuleTrace, TimestampMs, samples};
use relay_store::LoggedOutcome;

use super::Case;

/// As many as `relay.outcomes.v1` has of its own.
const PARTITIONS: usize = 6;
const TENANTS: usize = 8;
/// What an answer of eight words is long.
const ANSWER: &str = "please echo the words of question number 7";

/// All that a case folds, in transactions, made before anything is measured.
pub fn batches(case: Case) -> Vec<Vec<LoggedOutcome>> {
    let batch = |fold: usize| {
        let numbers = fold * case.records..(fold + 1) * case.records;
        numbers.map(|number| outcome(number, case.body)).collect()
    };
    (0..case.folds).map(batch).collect()
}

fn outcome(number: usize, body: usize) -> LoggedOutcome {
    let mut outcome = samples::outcome();
    // As ids are: rising by the time, and as long.
    outcome.request_id = format!("01995f2e-{number:08x}-7aaa-8bbb-0123456789ab")
        .as_str()
        .into();
    outcome.tenant = format!("tenant-{}", number % TENANTS).as_str().into();
    outcome.ended_at = TimestampMs(outcome.ended_at.0 + number as i64 / 2);
    outcome.answer = Some(samples::answer(ANSWER).into());
    let mut request = samples::request();
    request.request_id = outcome.request_id.clone();
    request.tenant = outcome.tenant.clone();
    request.body = chat(number, body);
    outcome.request = Some(request.into());
    let mut planning = samples::planning();
    planning.rules = vec![rule("long prompts"), rule("batch")];
    outcome.planning = Some(planning.into());
    LoggedOutcome {
        outcome: outcome.into(),
        partition: (number % PARTITIONS) as i32,
        offset: (number / PARTITIONS) as i64,
        traceparent: None,
    }
}

fn chat(number: usize, length: usize) -> String {
    let frame = |said: &str| {
        format!(
            r#"{{"model":"mock","temperature":0,"stream":false,"max_tokens":64,"messages":[{{"role":"user","content":"{said}"}}]}}"#
        )
    };
    let said = format!("please echo the words of question number {number} as they stand. ");
    let repeated = length.saturating_sub(frame("").len()).div_ceil(said.len()).max(1);
    frame(&said.repeat(repeated))
}

fn rule(name: &str) -> RuleTrace {
    RuleTrace {
        rule: name.to_owned(),
        matched: false,
        applied: false,
        conditions: vec![ConditionTrace {
            field: "prompt_tokens".to_owned(),
            expected: ">= 1000".to_owned(),
            seen: "12".to_owned(),
            held: false,
        }],
    }
}
