//! The last frames of a run, as the control crate makes them, without a size limit.

use relay_lifecycle::final_of;
use relay_schemas::{Frame, Outcome};

/// The end of `outcome`'s run, with its text where the client has none of it.
pub(crate) fn final_frames(outcome: &Outcome, seq: u32, with_text: bool) -> Vec<Frame> {
    let text = outcome
        .answer
        .as_ref()
        .filter(|_| with_text)
        .map(|answer| answer.text.clone())
        .unwrap_or_default();
    vec![Frame {
        request_id: outcome.request_id.clone(),
        run: outcome.run.clone(),
        seq,
        text,
        tokens: outcome.usage.completion_tokens,
        end: Some(final_of(outcome)),
    }]
}
