//! What follows behind what a client has seen of a choice.

use relay_schemas::{Choice, Delta, ToolCall, ToolCallDelta};

use super::extra::{self, Diverged};

/// All that `choices` say, a delta a choice.
pub fn deltas_of(choices: &[Choice]) -> Vec<Delta> {
    let nothing = Choice::default();
    let all = choices.iter().map(|choice| rest_of_choice(choice, &nothing, &[]));
    // Behind nothing there is always a rest.
    all.flatten().filter(|delta| !delta.is_empty()).collect()
}

/// What a client that saw `had` has still to get of `all`. `calls`: under which indices it knows the calls of `had`.
///
/// # Errors
/// If the one is no beginning of the other.
pub fn rest_of_choice(all: &Choice, had: &Choice, calls: &[u32]) -> Result<Delta, Diverged> {
    let (said, seen) = (&all.message, &had.message);
    if had.finish_reason.is_some() && had.finish_reason != all.finish_reason {
        return Err(Diverged);
    }
    Ok(Delta {
        index: all.index,
        text: rest_of_text(said.text.as_deref(), seen.text.as_deref())?,
        reasoning: rest_of_text(said.reasoning.as_deref(), seen.reasoning.as_deref())?,
        refusal: rest_of_text(said.refusal.as_deref(), seen.refusal.as_deref())?,
        tool_calls: rest_of_calls(&said.tool_calls, &seen.tool_calls, calls)?,
        logprobs: rest_of_list(&said.logprobs, &seen.logprobs)?,
        refusal_logprobs: rest_of_list(&said.refusal_logprobs, &seen.refusal_logprobs)?,
        finish_reason: all.finish_reason.filter(|_| had.finish_reason.is_none()),
        extra: extra::rest(said.extra.as_deref(), seen.extra.as_deref())?,
        choice_extra: extra::rest(all.extra.as_deref(), had.extra.as_deref())?,
    })
}

fn rest_of_text(all: Option<&str>, had: Option<&str>) -> Result<String, Diverged> {
    let rest = all.unwrap_or_default().strip_prefix(had.unwrap_or_default());
    rest.map(str::to_owned).ok_or(Diverged)
}

fn rest_of_list(all: &[String], had: &[String]) -> Result<Vec<String>, Diverged> {
    all.strip_prefix(had).map(<[String]>::to_vec).ok_or(Diverged)
}

/// Calls are told apart by their order of appearance; a client knows them by the index under which they came.
fn rest_of_calls(
    all: &[ToolCall],
    had: &[ToolCall],
    indices: &[u32],
) -> Result<Vec<ToolCallDelta>, Diverged> {
    if had.len() > all.len() {
        return Err(Diverged);
    }
    let nothing = ToolCall::default();
    let first_free = indices.iter().max().map_or(0, |most| most.saturating_add(1));
    let mut rests = Vec::new();
    for (at, call) in all.iter().enumerate() {
        let is_new = at >= had.len();
        let seen = had.get(at).unwrap_or(&nothing);
        let index = indices.get(at).copied();
        let rest = ToolCallDelta {
            index: index.unwrap_or_else(|| first_free.saturating_add((at - had.len()) as u32)),
            id: rest_of_name(&call.id, &seen.id)?,
            kind: rest_of_name(&call.kind, &seen.kind)?,
            name: rest_of_name(&call.name, &seen.name)?,
            arguments: rest_of_text(Some(&call.arguments), Some(&seen.arguments))?,
            extra: extra::rest(call.extra.as_deref(), seen.extra.as_deref())?,
        };
        let says_nothing = rest
            == ToolCallDelta {
                index: rest.index,
                ..ToolCallDelta::default()
            };
        if is_new || !says_nothing {
            rests.push(rest);
        }
    }
    Ok(rests)
}

fn rest_of_name(all: &str, had: &str) -> Result<Option<String>, Diverged> {
    if all == had {
        return Ok(None);
    }
    had.is_empty().then(|| Some(all.to_owned())).ok_or(Diverged)
}
