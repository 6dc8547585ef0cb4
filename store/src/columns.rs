//! The columns of `request_traces`, in one order for both databases, and the way from an outcome to cells and back.

use relay_schemas::{
    Answer, MicroUsd, Outcome, Plan, Planning, RuleTrace, TimestampMs, Timings, TokenCount, Usage,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Stored, TraceSummary};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Json,
    Number,
}

/// A column's content; every kind may be null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(Option<String>),
    Number(Option<i64>),
}

impl Cell {
    /// The text of a cell that stands in a column of texts.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => unreachable!("a text, not {number:?}: the columns say what they hold"),
        }
    }

    /// The number of a cell that stands in a column of numbers.
    pub(crate) fn into_number(self) -> Option<i64> {
        match self {
            Self::Number(number) => number,
            Self::Text(_) => unreachable!("a number, not a text: the columns say what they hold"),
        }
    }
}

pub(crate) type Column = (&'static str, Kind);

/// All of them, in the order of [`cells`].
pub(crate) const ALL: [Column; 27] = [
    ("request_id", Kind::Text),
    ("log_partition", Kind::Number),
    ("log_offset", Kind::Number),
    ("tenant", Kind::Text),
    ("status", Kind::Text),
    ("code", Kind::Text),
    ("message", Kind::Text),
    ("retry_after_ms", Kind::Number),
    ("model", Kind::Text),
    ("policy_version", Kind::Text),
    ("run_json", Kind::Json),
    ("request_json", Kind::Json),
    ("plan_json", Kind::Json),
    ("decision_trace_json", Kind::Json),
    ("cache_json", Kind::Json),
    ("queue_json", Kind::Json),
    ("lease_json", Kind::Json),
    ("response_json", Kind::Json),
    ("prompt_tokens", Kind::Number),
    ("completion_tokens", Kind::Number),
    ("cost_micro_usd", Kind::Number),
    ("latency_ms", Kind::Number),
    ("ttft_ms", Kind::Number),
    ("backend_latency_ms", Kind::Number),
    ("queue_wait_ms", Kind::Number),
    ("compute_ms", Kind::Number),
    ("ended_at", Kind::Number),
];

/// Those of a line in the list, in the order of [`summary`].
pub(crate) const SUMMARY: [Column; 13] = [
    ("request_id", Kind::Text),
    ("tenant", Kind::Text),
    ("status", Kind::Text),
    ("code", Kind::Text),
    ("model", Kind::Text),
    ("latency_ms", Kind::Number),
    ("ttft_ms", Kind::Number),
    ("backend_latency_ms", Kind::Number),
    ("queue_wait_ms", Kind::Number),
    ("prompt_tokens", Kind::Number),
    ("completion_tokens", Kind::Number),
    ("cost_micro_usd", Kind::Number),
    ("ended_at", Kind::Number),
];

/// Column names with commas between.
pub(crate) fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// What a later outcome of lower offset overwrites: everything but the key.
pub(crate) fn overwrite() -> String {
    let columns = ALL.iter().skip(1);
    let columns: Vec<String> = columns
        .map(|(name, _)| format!("{name} = excluded.{name}"))
        .collect();
    columns.join(", ")
}

/// Why the plan is what it is: what [`Planning`] holds besides the plan.
#[derive(Serialize, Deserialize)]
struct DecisionTrace {
    rules: Vec<RuleTrace>,
    adjustments: Vec<String>,
    planned_at: TimestampMs,
}

/// The row of an outcome.
pub(crate) fn cells(stored: &Stored) -> Vec<Cell> {
    let outcome = &stored.outcome;
    let planning = outcome.planning.as_ref();
    let decision_trace = planning.map(|planning| DecisionTrace {
        rules: planning.rules.clone(),
        adjustments: planning.adjustments.clone(),
        planned_at: planning.planned_at,
    });
    vec![
        text(outcome.request_id.as_str()),
        number(stored.partition),
        number(stored.offset),
        text(outcome.tenant.as_str()),
        text(&word(&outcome.status)),
        optional_text(outcome.code.as_deref()),
        optional_text(outcome.message.as_deref()),
        Cell::Number(outcome.retry_after_ms),
        text(model(outcome)),
        optional_text(planning.map(|planning| planning.plan.policy_version.as_str())),
        json(Some(&outcome.run)),
        json(outcome.request.as_ref()),
        json(planning.map(|planning| &planning.plan)),
        json(decision_trace.as_ref()),
        json(outcome.caching.as_ref()),
        json(outcome.queueing.as_ref()),
        json(outcome.lease.as_ref()),
        json(outcome.answer.as_ref()),
        number(outcome.usage.prompt_tokens.0),
        number(outcome.usage.completion_tokens.0),
        number(outcome.cost_micro_usd.0),
        number(outcome.timings.latency_ms),
        Cell::Number(outcome.timings.ttft_ms),
        Cell::Number(outcome.timings.backend_latency_ms),
        Cell::Number(outcome.queueing.as_ref().map(|queueing| queueing.queue_wait_ms)),
        number(outcome.timings.compute_ms),
        number(outcome.ended_at.0),
    ]
}

/// The outcome of a row.
pub(crate) fn stored(cells: Vec<Cell>) -> Result<Stored, String> {
    let mut row = Row(cells.into_iter());
    let request_id = row.text()?.as_str().into();
    let (partition, offset) = (row.narrow()?, row.number()?);
    let tenant = row.text()?.as_str().into();
    let status = row.word()?;
    let (code, message) = (row.optional_text()?, row.optional_text()?);
    let retry_after_ms = row.optional_number()?;
    let (_model, _policy_version) = (row.text()?, row.optional_text()?);
    let run = row.json()?.ok_or("run_json is null")?;
    let request = row.json()?;
    let planning = planning(row.json()?, row.json()?);
    let (caching, queueing, lease) = (row.json()?, row.json()?, row.json()?);
    let answer: Option<Answer> = row.json()?;
    let usage = row.usage()?;
    let cost_micro_usd = MicroUsd(row.number()?);
    let (latency_ms, ttft_ms, backend_latency_ms) =
        (row.number()?, row.optional_number()?, row.optional_number()?);
    let _queue_wait_ms = row.optional_number()?;
    let timings = Timings {
        latency_ms,
        ttft_ms,
        backend_latency_ms,
        compute_ms: row.number()?,
    };
    let outcome = Outcome {
        request_id,
        tenant,
        status,
        code,
        message,
        retry_after_ms,
        run,
        request,
        planning,
        caching,
        queueing,
        lease,
        answer,
        usage,
        cost_micro_usd,
        timings,
        ended_at: TimestampMs(row.number()?),
    };
    Ok(Stored {
        outcome,
        partition,
        offset,
    })
}

/// The line of a row.
pub(crate) fn summary(cells: Vec<Cell>) -> Result<TraceSummary, String> {
    let mut row = Row(cells.into_iter());
    Ok(TraceSummary {
        request_id: row.text()?.as_str().into(),
        tenant: row.text()?.as_str().into(),
        status: row.word()?,
        code: row.optional_text()?,
        model: row.text()?,
        latency_ms: row.number()?,
        ttft_ms: row.optional_number()?,
        backend_latency_ms: row.optional_number()?,
        queue_wait_ms: row.optional_number()?,
        usage: row.usage()?,
        cost_micro_usd: MicroUsd(row.number()?),
        ended_at: TimestampMs(row.number()?),
    })
}

fn planning(plan: Option<Plan>, trace: Option<DecisionTrace>) -> Option<Planning> {
    let (plan, trace) = plan.zip(trace)?;
    Some(Planning {
        plan,
        rules: trace.rules,
        adjustments: trace.adjustments,
        planned_at: trace.planned_at,
    })
}

fn model(outcome: &Outcome) -> &str {
    match (&outcome.answer, &outcome.request) {
        (Some(answer), _) => &answer.model,
        (None, Some(request)) => &request.model,
        (None, None) => "",
    }
}

/// How an enum's value is written.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("an enum of words, not {other:?}"),
    }
}

/// Postgres has no U+0000 in text.
fn text(text: &str) -> Cell {
    optional_text(Some(text))
}

fn optional_text(text: Option<&str>) -> Cell {
    Cell::Text(text.map(|text| text.replace('\0', "\u{FFFD}")))
}

fn number(number: impl Into<i64>) -> Cell {
    Cell::Number(Some(number.into()))
}

fn json(value: Option<&impl Serialize>) -> Cell {
    let write = |value| serde_json::to_string(value).expect("records hold nothing that JSON has no word for");
    Cell::Text(value.map(write))
}

/// Takes one cell after the other, as what it should be.
struct Row(std::vec::IntoIter<Cell>);

impl Row {
    fn optional_text(&mut self) -> Result<Option<String>, String> {
        match self.0.next() {
            Some(Cell::Text(text)) => Ok(text),
            other => Err(format!("text was expected, not {other:?}")),
        }
    }

    fn optional_number(&mut self) -> Result<Option<i64>, String> {
        match self.0.next() {
            Some(Cell::Number(number)) => Ok(number),
            other => Err(format!("a number was expected, not {other:?}")),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        self.optional_text()?.ok_or_else(|| "a text is null".to_owned())
    }

    fn number(&mut self) -> Result<i64, String> {
        self.optional_number()?
            .ok_or_else(|| "a number is null".to_owned())
    }

    fn narrow<T: TryFrom<i64>>(&mut self) -> Result<T, String> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| format!("{number} is out of range"))
    }

    fn usage(&mut self) -> Result<Usage, String> {
        Ok(Usage {
            prompt_tokens: TokenCount(self.narrow()?),
            completion_tokens: TokenCount(self.narrow()?),
        })
    }

    fn word<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let word = serde_json::Value::String(self.text()?);
        serde_json::from_value(word).map_err(|error| error.to_string())
    }

    fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        let text = self.optional_text()?;
        let read = |text: String| serde_json::from_str(&text).map_err(|error| error.to_string());
        text.map(read).transpose()
    }
}
