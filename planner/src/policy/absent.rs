//! What plans have a place for and this build has not: a policy that asks for it is refused, as nothing would come of it.

use relay_schemas::Verifier;
use serde::de::{Deserialize, Deserializer, Error};

/// No semantic cache, where a policy may only say so.
pub fn semantic<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    without_cache(bool::deserialize(deserializer)?)
}

/// The same of a rule.
pub fn own_semantic<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Option::deserialize(deserializer)?.map(without_cache).transpose()
}

/// No verifier, where a policy may only say so.
pub fn verifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Verifier, D::Error> {
    unverified(Verifier::deserialize(deserializer)?)
}

/// The same of a rule.
pub fn own_verifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Verifier>, D::Error> {
    Option::deserialize(deserializer)?.map(unverified).transpose()
}

fn without_cache<E: Error>(wanted: bool) -> Result<bool, E> {
    if wanted {
        return Err(E::custom(
            "asks for a semantic cache, which is not in this build; set it to false or leave it out",
        ));
    }
    Ok(wanted)
}

fn unverified<E: Error>(wanted: Verifier) -> Result<Verifier, E> {
    if wanted == Verifier::Off {
        return Ok(wanted);
    }
    Err(E::custom(
        "asks for a verifier, which is not in this build; set it to \"off\" or leave it out",
    ))
}
