//! An outcome that is too large for its topic is published without its text, and says so. Pure.

use relay_schemas::{Outcome, decode, encode};

use relay_bus::Outgoing;
use relay_bus::topics::OUTCOMES;

/// `outgoing` without its answer's text, if it is an outcome that has one.
pub(super) fn without_text(outgoing: &Outgoing) -> Option<Outgoing> {
    if outgoing.topic != OUTCOMES {
        return None;
    }
    let mut outcome: Outcome = decode(outgoing.value.as_ref()?).ok()?;
    let answer = outcome.answer.as_mut().filter(|answer| !answer.text_dropped)?;
    answer.text.clear();
    answer.text_dropped = true;
    Some(outgoing.clone().with_value(encode(&outcome)))
}
