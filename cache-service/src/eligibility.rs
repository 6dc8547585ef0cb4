//! What may be cached. When in doubt, nothing: a miss costs a run, a wrong hit costs trust.
//!
//! Only whole answers (`stop`, or calls of tools; a refusal is none: asked again, the endpoint may answer) of winning, completed runs, by the very model that the plan wanted first, and decoded greedily
//! unless the policy allows sampled answers to be kept (the planner has settled that in `cache.exact`). A greedy plan does not say whether it
//! does, so where its temperature did not reach the endpoint, the answer is kept by no policy.

use relay_api::omitted::is_omitted;
use relay_api::sampling::keeps_content;
use relay_bus::Position;
use relay_schemas::{
    Answer, Choice, Decoding, FinishReason, Outcome, OutcomeStatus, Provenance, TimestampMs,
};

use crate::entry::{Entry, Owner};

/// Why an outcome fills nothing. A closed set: the label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCached {
    /// It did not complete, or came from a cache itself.
    NotCompleted,
    /// The plan does not allow it.
    Off,
    /// Its client asked with `store: false`: nobody else is to read it.
    NotKept,
    /// The plan is greedy, and the endpoint was not sent its temperature: it sampled as it does by itself.
    NotGreedy,
    /// The answer is cut short, filtered or a refusal.
    NotWhole,
    /// Another model than the plan's first ran.
    Fallback,
    /// It was too large for its own record.
    ContentDropped,
    /// It was produced too long ago.
    Stale,
    /// It is larger than an entry may be.
    TooLarge,
    /// The record lacks request, plan or answer.
    Incomplete,
}

impl NotCached {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotCompleted => "not_completed",
            Self::Off => "off",
            Self::NotKept => "not_kept",
            Self::NotGreedy => "not_greedy",
            Self::NotWhole => "not_whole",
            Self::Fallback => "fallback",
            Self::ContentDropped => "content_dropped",
            Self::Stale => "stale",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The entry that a winning outcome at `position` makes, if it may be cached.
///
/// # Errors
/// Why it may not.
pub fn entry_of(outcome: &Outcome, position: &Position, now: TimestampMs) -> Result<Entry, NotCached> {
    if outcome.status != OutcomeStatus::Completed {
        return Err(NotCached::NotCompleted);
    }
    let (Some(request), Some(planning), Some(answer)) =
        (&outcome.request, &outcome.planning, &outcome.answer)
    else {
        return Err(NotCached::Incomplete);
    };
    let plan = &planning.plan;
    if !plan.cache.exact {
        return Err(NotCached::Off);
    }
    if !keeps_content(&request.body) {
        return Err(NotCached::NotKept);
    }
    if answer.content_dropped {
        return Err(NotCached::ContentDropped);
    }
    if is_greedy(&plan.decoding) && has_own_temperature(answer) {
        return Err(NotCached::NotGreedy);
    }
    if !is_whole(answer) {
        return Err(NotCached::NotWhole);
    }
    let wanted = plan.candidates.first().ok_or(NotCached::Incomplete)?;
    if answer.model != wanted.model {
        return Err(NotCached::Fallback);
    }
    if now.since_ms(outcome.ended_at) >= plan.cache.ttl_ms {
        return Err(NotCached::Stale);
    }
    let provenance = Provenance {
        level: String::new(),
        source_request_id: outcome.request_id.clone(),
        source_topic: position.partition.topic.to_string(),
        source_partition: position.partition.partition,
        source_offset: position.offset,
        filled_at: now,
        policy_version: plan.policy_version.clone(),
        model: answer.model.clone(),
        model_version: answer.model_version.clone(),
    };
    let life = (outcome.ended_at, plan.cache.ttl_ms);
    Ok(Entry::new(
        Owner::of(request, plan),
        answer.clone(),
        outcome.usage,
        provenance,
        life,
    ))
}

fn is_greedy(decoding: &Decoding) -> bool {
    decoding.temperature <= 0.0 && !decoding.temperature_unset
}

/// Whether the endpoint chose by a temperature of its own in place of the plan's.
fn has_own_temperature(answer: &Answer) -> bool {
    let extra = answer.extra.as_deref();
    extra.is_some_and(|extra| is_omitted(extra, "temperature"))
}

/// Whether every choice says all that the model had to say.
fn is_whole(answer: &Answer) -> bool {
    let is_whole = |choice: &Choice| {
        let ended = matches!(
            choice.finish_reason,
            Some(FinishReason::Stop | FinishReason::ToolCalls | FinishReason::FunctionCall)
        );
        ended && choice.message.refusal.is_none()
    };
    let nothing = answer.choices.is_empty() && answer.embeddings.is_empty();
    !nothing && answer.choices.iter().all(is_whole)
}
