//! What only the whole file shows: names that must exist, names that must differ, bounds that must leave room.

use std::fmt::Display;

use relay_settings::{Mistake, Place, Spanned};

use super::bounds::{Bounds, Limits};
use super::grammar::{CandidateSpec, Document, Rule, fits};

/// Most rules: a person has to be able to follow the decision trace.
const MOST_RULES: usize = 64;

pub(super) fn check(document: &Document) -> Result<(), Mistake> {
    pools(document)?;
    for candidate in document.models.values().flat_map(|candidates| &candidates.0) {
        known_pool(document, &candidate.pool)?;
    }
    known_profile(document, &document.defaults.profile)?;
    if let Some(rule) = document.rules.get(MOST_RULES) {
        let problem = format!("{} rules, where {MOST_RULES} are allowed", document.rules.len());
        return Err(rule.name.place.mistake(problem, "join some of them"));
    }
    for (index, rule) in document.rules.iter().enumerate() {
        if document.rules[..index]
            .iter()
            .any(|earlier| earlier.name == rule.name)
        {
            let problem = format!("two rules are called `{}`", *rule.name);
            return Err(rule.name.place.mistake(problem, "give each its own name"));
        }
        check_rule(document, rule)?;
    }
    Ok(())
}

fn pools(document: &Document) -> Result<(), Mistake> {
    let pools = &document.pools;
    if pools.is_empty() {
        let remedy = "name at least one, for example [default]";
        return Err(pools.place.mistake("names no pool", remedy));
    }
    let twice = (1..pools.len()).find(|index| pools[..*index].contains(&pools[*index]));
    twice.map_or(Ok(()), |index| {
        let pool = &pools[index];
        Err(pool
            .place
            .mistake(format!("`{}` stands twice", **pool), "remove one"))
    })
}

fn check_rule(document: &Document, rule: &Rule) -> Result<(), Mistake> {
    if let Some(models) = &rule.matches.model {
        for pattern in &models.0 {
            if !document.models.keys().any(|model| fits(pattern, model)) {
                let known = document.models.keys().map(|model| &**model);
                return Err(unknown("model", &models.place, pattern, "models", known));
            }
        }
    }
    if let Some(pool) = &rule.set.pool {
        known_pool(document, pool)?;
        some_candidate(document, rule, pool)?;
    }
    let name = rule.set.profile.as_ref().unwrap_or(&document.defaults.profile);
    known_profile(document, name)?;
    let Some(profile) = document.profile(name) else {
        return Ok(());
    };
    room(&rule.set.max_tokens, name, profile.max_tokens)?;
    room(&rule.set.temperature, name, profile.temperature)
}

/// Each model that the rule names has a candidate in `pool`; where it names none, some model has.
fn some_candidate(document: &Document, rule: &Rule, pool: &Spanned<String>) -> Result<(), Mistake> {
    let has = |candidates: &[CandidateSpec]| candidates.iter().any(|one| one.pool == *pool);
    let named = rule.matches.model.as_ref();
    let mut concerned = document
        .models
        .iter()
        .filter(|(model, _)| named.is_none_or(|wanted| wanted.fit(model)));
    let missing = if named.is_none() && concerned.clone().any(|(_, candidates)| has(&candidates.0)) {
        None
    } else {
        concerned.find(|(_, candidates)| !has(&candidates.0))
    };
    missing.map_or(Ok(()), |(model, _)| {
        let pool_name = pool.as_str();
        let problem = format!("model `{model}` has no candidate in pool `{pool_name}`");
        let remedy = format!("add {{pool: {pool_name}, model: …}} under models.{model}");
        Err(pool.place.mistake(problem, remedy))
    })
}

fn known_pool(document: &Document, pool: &Spanned<String>) -> Result<(), Mistake> {
    let known = document.pools.iter().map(|pool| &***pool);
    if known.clone().any(|known| known == **pool) {
        return Ok(());
    }
    Err(unknown("pool", &pool.place, pool, "pools", known))
}

fn known_profile(document: &Document, profile: &Spanned<String>) -> Result<(), Mistake> {
    if document.profile(profile).is_some() {
        return Ok(());
    }
    let known = document.profiles.keys().map(|name| &**name);
    Err(unknown("profile", &profile.place, profile, "profiles", known))
}

fn unknown<'a>(
    kind: &str,
    place: &Place,
    name: &str,
    list: &str,
    known: impl Iterator<Item = &'a str>,
) -> Mistake {
    let known: Vec<&str> = known.take(16).collect();
    let remedy = format!("declare it under `{list}` or use one of: {}", known.join(", "));
    place.mistake(format!("there is no {kind} `{name}`"), remedy)
}

/// What a rule and its profile leave together.
fn room<L: Limits>(set: &Spanned<Bounds<L>>, profile_name: &str, profile: Bounds<L>) -> Result<(), Mistake>
where
    L::Number: Display,
{
    let both = profile.narrowed_by(**set);
    let (Some(min), Some(max)) = (both.min, both.max) else {
        return Ok(());
    };
    if min <= max {
        return Ok(());
    }
    let problem =
        format!("leaves no value together with profile `{profile_name}` (at least {min}, at most {max})");
    Err(set
        .place
        .mistake(problem, "widen one of them, or set another profile"))
}
