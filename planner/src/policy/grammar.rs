//! The shape of a policy file, as serde reads it. Field by field: `docs/policy.md`.

use std::fmt;
use std::marker::PhantomData;

use relay_schemas::{Candidate, Class, Verifier};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Bounds;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Names the policy; first half of its version.
    pub name: String,
    /// Pools that candidates and rules may name.
    pub pools: Vec<String>,
    /// Public model name to candidates, in order of preference.
    #[serde(deserialize_with = "unique")]
    pub models: Vec<(String, Vec<CandidateSpec>)>,
    /// Decoding profiles by name.
    #[serde(deserialize_with = "unique")]
    pub profiles: Vec<(String, Profile)>,
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
        self.profiles
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, profile)| profile)
    }

    /// The candidates of the model of that public name.
    pub fn candidates(&self, model: &str) -> Option<&[CandidateSpec]> {
        self.models
            .iter()
            .find(|(known, _)| known == model)
            .map(|(_, candidates)| candidates.as_slice())
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
    pub pool: String,
    pub model: String,
}

impl From<&CandidateSpec> for Candidate {
    fn from(spec: &CandidateSpec) -> Self {
        Self {
            pool: spec.pool.clone(),
            model: spec.model.clone(),
        }
    }
}

/// How tokens may be chosen.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// New tokens.
    pub max_tokens: Bounds<u32>,
    /// Temperature; without a default, 1.
    #[serde(default)]
    pub temperature: Bounds<f64>,
    /// Nucleus mass; without a default, none.
    #[serde(default)]
    pub top_p: Bounds<f64>,
    /// Most candidates; without a default, all.
    #[serde(default)]
    pub top_k: Bounds<u32>,
    /// New tokens to be expected where the client sets no limit.
    #[serde(default)]
    pub expected_tokens: Option<u32>,
}

/// What holds where a rule says nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in Settings")]
pub struct Defaults {
    pub tier: String,
    pub profile: String,
    pub lane_threshold_tokens: u32,
    pub slo_ttft_ms: i64,
    pub deadline_ms: i64,
    pub cache: CacheDefaults,
    #[serde(default)]
    pub cache_sampled: bool,
    #[serde(default = "off")]
    pub verifier: Verifier,
}

/// The caches, where a rule says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in CachePart")]
pub struct CacheDefaults {
    pub exact: bool,
    #[serde(default)]
    pub semantic: bool,
    pub ttl_ms: i64,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stands in the decision trace.
    pub name: String,
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
    pub model: Option<Patterns>,
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
    pub tier: Option<String>,
    /// Only candidates in this pool.
    pub pool: Option<String>,
    /// Decoding profile.
    pub profile: Option<String>,
    /// Narrows the profile's.
    pub max_tokens: Bounds<u32>,
    /// Narrows the profile's.
    pub temperature: Bounds<f64>,
    /// Predicted new tokens up to which the short lane is used.
    pub lane_threshold_tokens: Option<u32>,
    /// Target for the time to first token, milliseconds.
    pub slo_ttft_ms: Option<i64>,
    /// Longest life from acceptance, milliseconds; only ever shortens the request's own.
    pub deadline_ms: Option<i64>,
    /// Caches.
    pub cache: CachePart,
    /// Whether sampled answers (temperature above 0) may be cached.
    pub cache_sampled: Option<bool>,
    /// Verifier mode.
    pub verifier: Option<Verifier>,
}

/// What a rule says of the caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CachePart {
    /// Exact cache.
    pub exact: Option<bool>,
    /// Semantic cache.
    pub semantic: Option<bool>,
    /// How long an entry may answer, milliseconds.
    pub ttl_ms: Option<i64>,
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

/// Patterns, written as one text or as a list of them.
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
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// A closed range of numbers; a missing end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// Smallest that holds.
    pub min: Option<u32>,
    /// Largest that holds.
    pub max: Option<u32>,
}

impl Range {
    /// Whether `number` lies inside.
    pub fn holds(self, number: u32) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

fn off() -> Verifier {
    Verifier::Off
}

/// A mapping in the order of the file. YAML readers keep the last of two equal keys in silence; a policy must not.
fn unique<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(String, T)>, D::Error> {
    struct Unique<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping of names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs: Vec<(String, T)> = Vec::new();
            while let Some(key) = map.next_key::<String>()? {
                if pairs.iter().any(|(known, _)| *known == key) {
                    return Err(A::Error::custom(format!(
                        "`{key}` is defined twice; keep one of them"
                    )));
                }
                pairs.push((key, map.next_value()?));
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
