//! The shape of a policy file. What a value may be is its type's affair: a key that is added here is read, checked and
//! refused with its place. What only the whole file shows is in `check.rs`. Field by field: `docs/policy.md`.

use std::fmt;

use indexmap::IndexMap;
use relay_schemas::{Candidate, Class, Verifier};
use relay_settings::Spanned;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::absent;
use super::bounds::{Bounds, Mass, Temperature, Tokens};
use super::names::{ModelName, Name, Time};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Names the policy; first half of its version.
    pub name: Name,
    /// Pools that candidates and rules may name.
    pub pools: Spanned<Vec<Spanned<Name>>>,
    /// Public model name to candidates, in order of preference.
    pub models: IndexMap<ModelName, Candidates>,
    /// Decoding profiles by name.
    pub profiles: IndexMap<Name, Profile>,
    /// What holds where a rule says nothing.
    pub defaults: Defaults,
    /// Tried in order; the first that matches applies.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What becomes of a request that no rule matches.
    #[serde(default)]
    pub unmatched: Unmatched,
}

impl Document {
    /// The profile of that name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The candidates of the model of that public name.
    pub fn candidates(&self, model: &str) -> Option<&[CandidateSpec]> {
        self.models.get(model).map(|candidates| candidates.0.as_slice())
    }
}

/// Who may run a model: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates(pub Vec<CandidateSpec>);

impl<'de> Deserialize<'de> for Candidates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let candidates = Vec::deserialize(deserializer)?;
        if candidates.is_empty() {
            return Err(D::Error::custom(
                "has no candidate; give at least one {pool, model}",
            ));
        }
        Ok(Self(candidates))
    }
}

/// A pool and the model's name inside it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields of relay_schemas::Candidate, strictly read"
)]
pub struct CandidateSpec {
    pub pool: Spanned<String>,
    #[serde(deserialize_with = "not_empty")]
    pub model: String,
}

impl From<&CandidateSpec> for Candidate {
    fn from(spec: &CandidateSpec) -> Self {
        Self {
            pool: spec.pool.value.clone(),
            model: spec.model.clone(),
        }
    }
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let model = String::deserialize(deserializer)?;
    if model.is_empty() {
        return Err(D::Error::custom("is empty; name the model inside the pool"));
    }
    Ok(model)
}

/// How tokens may be chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// New tokens; without a default, as many as may be.
    #[serde(deserialize_with = "with_max")]
    pub max_tokens: Bounds<Tokens>,
    /// Temperature; without a default it stays unset, or is what of the bounds lies nearest to 1 where they leave 1 out.
    #[serde(default)]
    pub temperature: Bounds<Temperature>,
    /// Nucleus mass; without a default, none.
    #[serde(default)]
    pub top_p: Bounds<Mass>,
    /// Most candidates; without a default, all.
    #[serde(default)]
    pub top_k: Bounds<Tokens>,
    /// New tokens to be expected where the client sets no limit.
    #[serde(default)]
    pub expected_tokens: Option<u32>,
}

fn with_max<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bounds<Tokens>, D::Error> {
    let bounds = Bounds::deserialize(deserializer)?;
    if bounds.max.is_none() {
        return Err(D::Error::custom(
            "has no `max`; say how long an answer may become",
        ));
    }
    Ok(bounds)
}

/// What holds where a rule says nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in Settings")]
pub struct Defaults {
    pub tier: Name,
    pub profile: Spanned<String>,
    pub lane_threshold_tokens: u32,
    pub slo_ttft: Time,
    pub deadline: Time,
    pub cache: CacheDefaults,
    #[serde(default)]
    pub cache_sampled: bool,
    #[serde(default = "off", deserialize_with = "absent::verifier")]
    pub verifier: Verifier,
}

fn off() -> Verifier {
    Verifier::Off
}

/// The caches, where a rule says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in CachePart")]
pub struct CacheDefaults {
    pub exact: bool,
    #[serde(default, deserialize_with = "absent::semantic")]
    pub semantic: bool,
    pub ttl: Time,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stands in the decision trace.
    pub name: Spanned<Name>,
    /// All of it must hold; an empty one matches everything.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What it sets.
    #[serde(default)]
    pub set: Settings,
}

/// The conditions of a rule.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Tenants; a `*` at the end stands for anything.
    pub tenant: Option<Patterns>,
    /// Public model names, likewise.
    pub model: Option<Spanned<Patterns>>,
    /// Estimated prompt length.
    pub prompt_tokens: Option<Range>,
    /// The client's limit on new tokens; never holds where it set none.
    pub requested_tokens: Option<Range>,
    /// Whether the answer is streamed.
    pub stream: Option<bool>,
    /// Interactive or batch.
    pub class: Option<Class>,
}

/// What a rule sets. What it leaves out comes from `defaults`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Service tier.
    pub tier: Option<Name>,
    /// Only candidates in this pool.
    pub pool: Option<Spanned<String>>,
    /// Decoding profile.
    pub profile: Option<Spanned<String>>,
    /// Narrows the profile's.
    pub max_tokens: Spanned<Bounds<Tokens>>,
    /// Narrows the profile's.
    pub temperature: Spanned<Bounds<Temperature>>,
    /// Predicted new tokens up to which the short lane is used.
    pub lane_threshold_tokens: Option<u32>,
    /// Target for the time to first token.
    pub slo_ttft: Option<Time>,
    /// Longest life from acceptance; only ever shortens the request's own.
    pub deadline: Option<Time>,
    /// Caches.
    pub cache: CachePart,
    /// Whether sampled answers (temperature above 0) may be cached.
    pub cache_sampled: Option<bool>,
    /// Verifier mode.
    #[serde(deserialize_with = "absent::own_verifier")]
    pub verifier: Option<Verifier>,
}

/// What a rule says of the caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CachePart {
    /// Exact cache.
    pub exact: Option<bool>,
    /// Semantic cache.
    #[serde(deserialize_with = "absent::own_semantic")]
    pub semantic: Option<bool>,
    /// How long an entry may answer.
    pub ttl: Option<Time>,
}

/// What becomes of a request that no rule matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmatched {
    /// It is planned by `defaults`.
    #[default]
    Defaults,
    /// It fails with the code `no_plan`.
    Refuse,
}

/// Patterns, written as one text or as a list of them; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl Patterns {
    /// Whether one of them fits.
    pub fn fit(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, text))
    }
}

/// Whether `pattern` fits; a `*` at its end stands for anything.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => text == pattern,
    }
}

impl<'de> Deserialize<'de> for Patterns {
    /// By hand, because serde's untagged enums lose the place of an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, one: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut many: A) -> Result<Patterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = many.next_element()? {
                    patterns.push(pattern);
                }
                if patterns.is_empty() {
                    let problem = "is empty, so the rule can never match; name one, or leave it out";
                    return Err(A::Error::custom(problem));
                }
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// A closed range of numbers; a missing end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenRange")]
pub struct Range {
    /// Smallest that holds.
    pub min: Option<u32>,
    /// Largest that holds.
    pub max: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRange {
    min: Option<u32>,
    max: Option<u32>,
}

impl TryFrom<WrittenRange> for Range {
    type Error = &'static str;

    fn try_from(WrittenRange { min, max }: WrittenRange) -> Result<Self, &'static str> {
        if matches!((min, max), (Some(min), Some(max)) if min > max) {
            return Err("`min` is above `max`, so the rule can never match; exchange them");
        }
        Ok(Self { min, max })
    }
}

impl Range {
    /// Whether `number` lies inside.
    pub fn holds(self, number: u32) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}
