//! How tokens are chosen: the client's wish, else the policy's default, inside the policy's bounds.
//!
//! What neither sets stays unset: models that reason refuse some fields outright, and an endpoint's own default is often made for its
//! model. A bound is kept all the same, unless the policy says `unset` in so many words: without a default the limit of tokens is
//! its `max`, and a temperature that may not be 1 is the nearest that it may be.

use relay_schemas::{Decoding, TokenCount};

use crate::Features;
use crate::policy::{Bounds, Limits, Preset, Profile, Settings};

/// The default of the API that clients know; what models of Relay's own take for an unset one.
const TEMPERATURE: f64 = 1.0;

/// What the decision is made from.
pub(crate) struct Wanted<'a> {
    pub(crate) features: &'a Features,
    pub(crate) profile_name: &'a str,
    pub(crate) profile: &'a Profile,
    pub(crate) rule_name: Option<&'a str>,
    pub(crate) set: &'a Settings,
}

/// The decoding, and every wish of the client's that was bounded, in words.
pub(crate) fn decide(wanted: &Wanted<'_>) -> (Decoding, Vec<String>) {
    let (features, profile) = (wanted.features, wanted.profile);
    let mut said = Vec::new();
    let max_tokens = profile.max_tokens.narrowed_by(*wanted.set.max_tokens);
    let longest = max_tokens
        .max
        .expect("a policy is loaded only if every profile has max_tokens.max");
    let temperature = profile.temperature.narrowed_by(*wanted.set.temperature);

    let tokens = wanted.bounded(
        "max_tokens",
        features.requested_tokens,
        max_tokens,
        profile.max_tokens,
        &mut said,
    );
    let heat = wanted.bounded(
        "temperature",
        features.temperature,
        temperature,
        profile.temperature,
        &mut said,
    );
    let top_p = wanted.bounded("top_p", features.top_p, profile.top_p, profile.top_p, &mut said);
    let top_k = wanted.bounded("top_k", features.top_k, profile.top_k, profile.top_k, &mut said);
    let usual = temperature.clamp(TEMPERATURE);
    let usual_is_bounded = usual.to_bits() != TEMPERATURE.to_bits();
    let decoding = Decoding {
        profile: wanted.profile_name.to_owned(),
        max_tokens: TokenCount(tokens.unwrap_or(longest)),
        max_tokens_unset: tokens.is_none() && max_tokens.default == Some(Preset::Unset),
        temperature: heat.unwrap_or(usual),
        temperature_unset: heat.is_none()
            && (temperature.default == Some(Preset::Unset) || !usual_is_bounded),
        top_p,
        top_k,
        seed: features.seed,
        stop: features.stop.clone(),
    };
    (decoding, said)
}

impl Wanted<'_> {
    /// The wish inside `bounds`, else the default inside them; `None` where neither is a value. `profiles` are the bounds without the rule's,
    /// to tell who bounded it.
    fn bounded<L: Limits>(
        &self,
        what: &str,
        asked: Option<L::Number>,
        bounds: Bounds<L>,
        profiles: Bounds<L>,
        said: &mut Vec<String>,
    ) -> Option<L::Number> {
        let Some(asked) = asked else {
            return match bounds.default {
                Some(Preset::Value(default)) => Some(bounds.clamp(default)),
                Some(Preset::Unset) | None => None,
            };
        };
        let given = bounds.clamp(asked);
        if given != asked {
            let by = match self.rule_name {
                Some(rule) if profiles.clamp(asked) != given => format!("rule {rule}"),
                _ => format!("profile {}", self.profile_name),
            };
            said.push(format!("{what} {asked} → {given} by {by}"));
        }
        Some(given)
    }
}
