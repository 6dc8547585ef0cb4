//! Which idempotency keys other ingresses said that they hold, and for which body. Hints: messages get lost, and a key is let go
//! without a word. Pure.

use std::collections::{HashMap, VecDeque};

use relay_schemas::{InstanceId, KeyAnswer, KeyClaim, RequestId, TimestampMs};

/// Most claims remembered: those of a second at some tens of thousands of requests, of minutes at the usual rates.
const MOST: usize = 65_536;

/// An ingress, as its peers name it.
pub type Peer = (InstanceId, i64);

/// See the module.
#[derive(Debug, Default)]
pub struct Claims {
    known: HashMap<RequestId, Claim>,
    /// By when they were heard.
    order: VecDeque<(RequestId, TimestampMs)>,
}

#[derive(Debug)]
struct Claim {
    request_hash: String,
    by: Peer,
    until: TimestampMs,
}

impl Claims {
    /// Another ingress claims a key.
    pub fn hear(&mut self, claim: KeyClaim, now: TimestampMs) {
        let until = now.plus_ms(claim.lasts_ms);
        self.order.push_back((claim.key.clone(), until));
        let known = Claim {
            request_hash: claim.request_hash,
            by: (claim.ingress, claim.epoch),
            until,
        };
        self.known.insert(claim.key, known);
        while self.order.len() > MOST || self.order.front().is_some_and(|(_, until)| *until <= now) {
            let Some((key, until)) = self.order.pop_front() else {
                break;
            };
            // It may have been claimed again since.
            if self.known.get(&key).is_some_and(|claim| claim.until == until) {
                self.known.remove(&key);
            }
        }
    }

    /// Who may hold the key for another body.
    pub fn of_another_body(&self, key: &RequestId, request_hash: &str, now: TimestampMs) -> Option<Peer> {
        let claim = self.known.get(key)?;
        let counts = claim.until > now && claim.request_hash != request_hash;
        counts.then(|| claim.by.clone())
    }
}

/// Whether a request gives way to the one that its peer holds the key for. What was let in stays; of two that are both still looking the
/// one with the lesser hash goes on, which both sides see alike.
pub fn gives_way(request_hash: &str, answer: &KeyAnswer) -> bool {
    let Some(other) = answer.request_hash.as_deref() else {
        return false;
    };
    other != request_hash && (answer.accepted || other < request_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: &str, hash: &str, ingress: &str) -> KeyClaim {
        KeyClaim {
            key: key.into(),
            request_hash: hash.to_owned(),
            ingress: ingress.into(),
            epoch: 1,
            lasts_ms: 100,
        }
    }

    #[test]
    fn a_claim_counts_against_another_body_for_as_long_as_it_may_last() {
        let mut claims = Claims::default();
        claims.hear(claim("k", "one", "a"), TimestampMs(0));
        let of = |claims: &Claims, hash, at| claims.of_another_body(&"k".into(), hash, TimestampMs(at));
        assert_eq!(of(&claims, "two", 99), Some(("a".into(), 1)));
        assert_eq!((of(&claims, "one", 99), of(&claims, "two", 100)), (None, None));
        claims.hear(claim("k", "one", "b"), TimestampMs(50));
        claims.hear(claim("other", "one", "b"), TimestampMs(120));
        assert_eq!(
            of(&claims, "two", 120),
            Some(("b".into(), 1)),
            "the last word counts"
        );
        claims.hear(claim("third", "one", "b"), TimestampMs(200));
        assert_eq!(claims.known.len(), 2, "what is over is forgotten");
    }

    #[test]
    fn a_flood_of_claims_is_bounded_and_the_newest_are_known() {
        let mut claims = Claims::default();
        for number in 0..=MOST {
            claims.hear(claim(&number.to_string(), "one", "a"), TimestampMs(0));
        }
        assert_eq!((claims.known.len(), claims.order.len()), (MOST, MOST));
        assert!(
            claims
                .of_another_body(&"0".into(), "two", TimestampMs(1))
                .is_none()
        );
        assert!(
            claims
                .of_another_body(&"1".into(), "two", TimestampMs(1))
                .is_some()
        );
    }

    #[test]
    fn of_two_that_look_at_once_one_gives_way_and_before_one_that_was_let_in_everybody_does() {
        let held = |hash: &str, accepted| KeyAnswer {
            request_hash: Some(hash.to_owned()),
            accepted,
        };
        assert_eq!(
            (
                gives_way("a", &held("b", false)),
                gives_way("b", &held("a", false))
            ),
            (false, true)
        );
        assert!(gives_way("a", &held("b", true)) && gives_way("b", &held("a", true)));
        assert!(!gives_way("a", &held("a", true)), "a repeat joins");
        let free = KeyAnswer {
            request_hash: None,
            accepted: false,
        };
        assert!(!gives_way("a", &free), "it was let go since");
    }
}
