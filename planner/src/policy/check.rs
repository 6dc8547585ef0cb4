//! What the grammar cannot say: names that must exist, bounds that must leave room.

use std::fmt::Display;

use super::Bounds;
use super::error::Mistake;
use super::grammar::{CandidateSpec, Document, Profile, Range, Rule, fits};
use super::locate::Step;

/// Most rules; with clipped values it keeps the largest decision trace inside a record's margin.
const MOST_RULES: usize = 64;
/// Longest name of anything.
const LONGEST_NAME: usize = 64;

macro_rules! path {
    ($($step:expr),* $(,)?) => { &[$(Step::from($step)),*] };
}

pub(super) fn check(document: &Document) -> Result<(), Mistake> {
    name(path!["name"], &document.name)?;
    pools(document)?;
    models(document)?;
    for (profile_name, profile) in &document.profiles {
        name(path!["profiles", profile_name.as_str()], profile_name)?;
        check_profile(profile_name, profile)?;
    }
    defaults(document)?;
    if document.rules.len() > MOST_RULES {
        let problem = format!("{} rules, where {MOST_RULES} are allowed", document.rules.len());
        return Err(Mistake::at(
            path!["rules", MOST_RULES],
            problem,
            "join some of them",
        ));
    }
    for (index, rule) in document.rules.iter().enumerate() {
        check_rule(document, index, rule)?;
    }
    Ok(())
}

fn pools(document: &Document) -> Result<(), Mistake> {
    if document.pools.is_empty() {
        return Err(Mistake::at(
            path!["pools"],
            "names no pool",
            "name at least one, for example [default]",
        ));
    }
    for (index, pool) in document.pools.iter().enumerate() {
        name(path!["pools", index], pool)?;
        if document.pools[..index].contains(pool) {
            return Err(Mistake::at(
                path!["pools", index],
                format!("`{pool}` stands twice"),
                "remove one",
            ));
        }
    }
    Ok(())
}

fn models(document: &Document) -> Result<(), Mistake> {
    for (model, candidates) in &document.models {
        let model_name = model.as_str();
        if model.is_empty() || model.len() > LONGEST_NAME {
            let remedy = format!("use 1 to {LONGEST_NAME} bytes");
            return Err(Mistake::at(
                path!["models", model_name],
                format!("`{model}` is no model name"),
                remedy,
            ));
        }
        if candidates.is_empty() {
            let remedy = "give at least one {pool, model}";
            return Err(Mistake::at(
                path!["models", model_name],
                "has no candidate",
                remedy,
            ));
        }
        for (index, candidate) in candidates.iter().enumerate() {
            known_pool(
                document,
                path!["models", model_name, index, "pool"],
                &candidate.pool,
            )?;
            if candidate.model.is_empty() {
                let at = path!["models", model_name, index, "model"];
                return Err(Mistake::at(at, "is empty", "name the model inside the pool"));
            }
        }
    }
    Ok(())
}

fn check_profile(profile_name: &str, profile: &Profile) -> Result<(), Mistake> {
    let at = |key: &str| vec![Step::from("profiles"), Step::from(profile_name), Step::from(key)];
    if profile.max_tokens.max.is_none() {
        return Err(Mistake::at(
            &at("max_tokens"),
            "has no `max`",
            "say how long an answer may become",
        ));
    }
    bounds(&at("max_tokens"), profile.max_tokens, 1, u32::MAX)?;
    bounds(&at("temperature"), profile.temperature, 0.0, 2.0)?;
    bounds(&at("top_p"), profile.top_p, 0.0, 1.0)?;
    bounds(&at("top_k"), profile.top_k, 1, u32::MAX)
}

fn defaults(document: &Document) -> Result<(), Mistake> {
    let defaults = &document.defaults;
    name(path!["defaults", "tier"], &defaults.tier)?;
    known_profile(document, path!["defaults", "profile"], &defaults.profile)?;
    positive(path!["defaults", "slo_ttft_ms"], defaults.slo_ttft_ms)?;
    positive(path!["defaults", "deadline_ms"], defaults.deadline_ms)?;
    positive(path!["defaults", "cache", "ttl_ms"], defaults.cache.ttl_ms)
}

fn check_rule(document: &Document, index: usize, rule: &Rule) -> Result<(), Mistake> {
    let set = |key: &str| {
        vec![
            Step::from("rules"),
            Step::from(index),
            Step::from("set"),
            Step::from(key),
        ]
    };
    name(path!["rules", index, "name"], &rule.name)?;
    if document.rules[..index]
        .iter()
        .any(|earlier| earlier.name == rule.name)
    {
        let problem = format!("two rules are called `{}`", rule.name);
        return Err(Mistake::at(
            path!["rules", index, "name"],
            problem,
            "give each its own name",
        ));
    }
    matches(document, index, rule)?;
    if let Some(tier) = &rule.set.tier {
        name(&set("tier"), tier)?;
    }
    if let Some(profile) = &rule.set.profile {
        known_profile(document, &set("profile"), profile)?;
    }
    if let Some(pool) = &rule.set.pool {
        known_pool(document, &set("pool"), pool)?;
        some_candidate(document, &set("pool"), rule, pool)?;
    }
    for (key, value) in [
        ("slo_ttft_ms", rule.set.slo_ttft_ms),
        ("deadline_ms", rule.set.deadline_ms),
    ] {
        value.map_or(Ok(()), |value| positive(&set(key), value))?;
    }
    if let Some(ttl) = rule.set.cache.ttl_ms {
        positive(path!["rules", index, "set", "cache", "ttl_ms"], ttl)?;
    }
    bounds(&set("max_tokens"), rule.set.max_tokens, 1, u32::MAX)?;
    bounds(&set("temperature"), rule.set.temperature, 0.0, 2.0)?;
    let profile_name = rule.set.profile.as_ref().unwrap_or(&document.defaults.profile);
    let Some(profile) = document.profile(profile_name) else {
        return known_profile(document, &set("profile"), profile_name);
    };
    room(
        &set("max_tokens"),
        profile_name,
        profile.max_tokens.narrowed_by(rule.set.max_tokens),
    )?;
    room(
        &set("temperature"),
        profile_name,
        profile.temperature.narrowed_by(rule.set.temperature),
    )
}

fn matches(document: &Document, index: usize, rule: &Rule) -> Result<(), Mistake> {
    let at = |key: &str| {
        vec![
            Step::from("rules"),
            Step::from(index),
            Step::from("match"),
            Step::from(key),
        ]
    };
    for (key, list) in [("tenant", &rule.matches.tenant), ("model", &rule.matches.model)] {
        if list.as_ref().is_some_and(|list| list.0.is_empty()) {
            return Err(Mistake::at(
                &at(key),
                "is empty, so the rule can never match",
                "name one, or leave it out",
            ));
        }
    }
    for pattern in rule.matches.model.iter().flat_map(|models| &models.0) {
        if !document.models.iter().any(|(model, _)| fits(pattern, model)) {
            let names = document.models.iter().map(|(model, _)| model.as_str());
            return Err(unknown("model", &at("model"), pattern, "models", names));
        }
    }
    let ranges = [
        ("prompt_tokens", rule.matches.prompt_tokens),
        ("requested_tokens", rule.matches.requested_tokens),
    ];
    for (key, range) in ranges {
        if matches!(range, Some(Range { min: Some(min), max: Some(max) }) if min > max) {
            return Err(Mistake::at(
                &at(key),
                "`min` is above `max`, so the rule can never match",
                "exchange them",
            ));
        }
    }
    Ok(())
}

fn some_candidate(document: &Document, at: &[Step], rule: &Rule, pool: &str) -> Result<(), Mistake> {
    let has = |candidates: &[CandidateSpec]| candidates.iter().any(|one| one.pool == pool);
    let mut concerned = document
        .models
        .iter()
        .filter(|(model, _)| rule.matches.model.as_ref().is_none_or(|wanted| wanted.fit(model)));
    let every = rule.matches.model.is_some();
    let missing = if every {
        concerned.find(|(_, candidates)| !has(candidates))
    } else if concerned.clone().any(|(_, candidates)| has(candidates)) {
        None
    } else {
        concerned.next()
    };
    missing.map_or(Ok(()), |(model, _)| {
        let problem = format!("model `{model}` has no candidate in pool `{pool}`");
        Err(Mistake::at(
            at,
            problem,
            format!("add {{pool: {pool}, model: …}} under models.{model}"),
        ))
    })
}

fn name(at: &[Step], text: &str) -> Result<(), Mistake> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(fits) {
        return Ok(());
    }
    let problem = format!("`{text}` is no name");
    Err(Mistake::at(
        at,
        problem,
        format!("use 1 to {LONGEST_NAME} letters, digits, - and _"),
    ))
}

fn known_pool(document: &Document, at: &[Step], pool: &str) -> Result<(), Mistake> {
    if document.pools.iter().any(|known| known == pool) {
        return Ok(());
    }
    Err(unknown(
        "pool",
        at,
        pool,
        "pools",
        document.pools.iter().map(String::as_str),
    ))
}

fn known_profile(document: &Document, at: &[Step], profile: &str) -> Result<(), Mistake> {
    if document.profile(profile).is_some() {
        return Ok(());
    }
    Err(unknown(
        "profile",
        at,
        profile,
        "profiles",
        document.profiles.iter().map(|(name, _)| name.as_str()),
    ))
}

fn unknown<'a>(
    kind: &str,
    at: &[Step],
    name: &str,
    list: &str,
    known: impl Iterator<Item = &'a str>,
) -> Mistake {
    let known: Vec<&str> = known.take(16).collect();
    let remedy = format!("declare it under `{list}` or use one of: {}", known.join(", "));
    Mistake::at(at, format!("there is no {kind} `{name}`"), remedy)
}

fn positive(at: &[Step], number: i64) -> Result<(), Mistake> {
    if number > 0 {
        return Ok(());
    }
    Err(Mistake::at(
        at,
        format!("{number} is not above 0"),
        "give milliseconds",
    ))
}

/// Each number lies between `least` and `most` (which not-a-number does not), and the default between the bounds.
fn bounds<T: PartialOrd + Copy + Display>(
    at: &[Step],
    given: Bounds<T>,
    least: T,
    most: T,
) -> Result<(), Mistake> {
    let mut inside = at.to_vec();
    for (key, value) in [("min", given.min), ("max", given.max), ("default", given.default)] {
        let Some(value) = value else { continue };
        inside.truncate(at.len());
        inside.push(Step::from(key));
        if !(value >= least && value <= most) {
            let problem = format!("{value} is out of range");
            return Err(Mistake::at(&inside, problem, format!("use {least} to {most}")));
        }
    }
    if given.is_empty() {
        return Err(Mistake::at(at, "`min` is above `max`", "exchange them"));
    }
    if given
        .default
        .is_some_and(|default| given.clamp(default) != default)
    {
        return Err(Mistake::at(
            &inside,
            "`default` lies outside of `min` and `max`",
            "move it inside",
        ));
    }
    Ok(())
}

fn room<T: PartialOrd + Copy + Display>(at: &[Step], profile: &str, both: Bounds<T>) -> Result<(), Mistake> {
    let (Some(min), Some(max)) = (both.min, both.max) else {
        return Ok(());
    };
    if min <= max {
        return Ok(());
    }
    let problem =
        format!("leaves no value together with profile `{profile}` (at least {min}, at most {max})");
    Err(Mistake::at(
        at,
        problem,
        "widen one of them, or set another profile",
    ))
}
