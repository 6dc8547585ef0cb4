//! What an end means for the idempotency key that its request came under.
//!
//! A key is bound to work done, not to a refusal: to an answer, and to any end that tokens were charged for. After any other
//! end (refused, expired or cancelled before it ran, failed without a token) the key is free, and a repeat runs anew: as the
//! next *try*, a request with an id of its own.

use relay_schemas::{OutcomeStatus, Usage};

use crate::follower::is_success;

/// Whether a key is bound to a request that ended thus.
pub fn binds_key(status: OutcomeStatus, usage: Usage) -> bool {
    is_success(status) || usage != Usage::default()
}

/// Finds the try that a repeat meets: the first that is not known to have left the key free. A try comes only after all before it
/// have left it free, so few of many need a look.
#[derive(Debug, Default)]
pub struct Tries {
    /// The last one known to have left the key free.
    over: Option<u32>,
    /// The first one known not to.
    met: Option<u32>,
}

impl Tries {
    /// The try to look at; `None` once the one that was met is the first.
    pub fn next(&self) -> Option<u32> {
        let first = self.over.map_or(0, |over| over.saturating_add(1));
        match self.met {
            Some(met) if met <= first => None,
            Some(met) => Some(first + (met - first) / 2),
            None => Some(first.saturating_mul(2).saturating_sub(1).max(first)),
        }
    }

    /// The try left the key free.
    pub fn is_over(&mut self, number: u32) {
        self.over = self.over.max(Some(number));
    }

    /// The try runs, has bound the key, or never was.
    pub fn meets(&mut self, number: u32) {
        self.met = Some(self.met.map_or(number, |met| met.min(number)));
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TokenCount;

    use super::*;

    #[test]
    fn a_key_is_bound_to_answers_and_to_what_was_charged() {
        use OutcomeStatus as O;
        let charged = Usage {
            prompt_tokens: TokenCount(1),
            ..Usage::default()
        };
        for status in O::ALL {
            let answered = matches!(status, O::Completed | O::Cached);
            assert_eq!(binds_key(status, Usage::default()), answered, "{status:?}");
            assert!(binds_key(status, charged), "{status:?}");
        }
    }

    #[test]
    fn the_first_try_that_left_the_key_bound_or_never_was_is_found_with_few_looks() {
        for before in (0..200).chain([100_000]) {
            let (mut tries, mut looks, mut met) = (Tries::default(), 0, None);
            while let Some(number) = tries.next() {
                looks += 1;
                assert!(looks <= 64, "{before}: it does not end");
                if number < before {
                    tries.is_over(number);
                } else {
                    tries.meets(number);
                    met = Some(number);
                }
            }
            assert_eq!(met, Some(before), "the last one met is the first there is");
            assert!(looks <= 2 * (before + 1).ilog2() + 2, "{before}: {looks} looks");
        }
    }
}
