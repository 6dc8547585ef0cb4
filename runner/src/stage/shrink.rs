//! An outcome that is too large for its topic is published without its content, and says so. Pure.

use std::sync::Arc;

use relay_schemas::{Outcome, decode, encode};

use relay_bus::Outgoing;
use relay_bus::topics::OUTCOMES;

/// `outgoing` without its answer's content, if it is an outcome that has some.
pub(super) fn without_content(outgoing: &Outgoing) -> Option<Outgoing> {
    if outgoing.topic != OUTCOMES {
        return None;
    }
    let mut outcome: Outcome = decode(outgoing.value.as_ref()?).ok()?;
    let answer = outcome.answer.as_mut().filter(|answer| !answer.content_dropped)?;
    Arc::make_mut(answer).drop_content();
    Some(outgoing.clone().with_value(encode(&outcome)))
}
