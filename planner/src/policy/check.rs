//! What only the whole file shows: names that must exist, names that must differ, bounds that must leave room.

use std::fmt::Display;

use relay_settings::{Mistake, Place, Spanned};

use super::bounds::{Bounds, Limits};
use super::grammar::{CandidateSpec, Document, Rule, fits};

/// Most rules: a person has to be able to follow the decision trace.
const MOST_RULES: usize = 64;

/// All that is wrong, where `is_mistaken` says of which keys it is not known what they were to say: what leans on those is left out.
pub(super) fn check(document: &Document, is_mistaken: &dyn Fn(&str) -> bool) -> Vec<Mistake> {
    let mut check = Check {
        document,
        is_mistaken,
        found: Vec::new(),
    };
    check.all();
    check.found
}

struct Check<'d> {
    document: &'d Document,
    is_mistaken: &'d dyn Fn(&str) -> bool,
    found: Vec<Mistake>,
}

impl Check<'_> {
    fn all(&mut self) {
        let document = self.document;
        self.pools();
        for candidate in document.models.values().flat_map(|candidates| &candidates.0) {
            self.known_pool(&candidate.pool);
        }
        self.known_profile(&document.defaults.profile);
        if let Some(rule) = document.rules.get(MOST_RULES) {
            let problem = format!("{} rules, where {MOST_RULES} are allowed", document.rules.len());
            self.found
                .push(rule.name.place.mistake(problem, "join some of them"));
        }
        for (index, rule) in document.rules.iter().enumerate().take(MOST_RULES) {
            let earlier = &document.rules[..index];
            if earlier.iter().any(|earlier| earlier.name == rule.name) {
                let problem = format!("two rules are called `{}`", *rule.name);
                let mistake = rule.name.place.mistake(problem, "give each its own name");
                self.found.push(mistake);
            }
            self.rule(rule);
        }
    }

    fn pools(&mut self) {
        let pools = &self.document.pools;
        if pools.is_empty() && !(self.is_mistaken)("pools") {
            let remedy = "name at least one, for example [default]";
            self.found.push(pools.place.mistake("names no pool", remedy));
        }
        for (index, pool) in pools.iter().enumerate() {
            if pools[..index].contains(pool) {
                let problem = format!("`{}` stands twice", **pool);
                self.found.push(pool.place.mistake(problem, "remove one"));
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let document = self.document;
        if let Some(models) = &rule.matches.model
            && !(self.is_mistaken)("models")
        {
            let is_known = |pattern: &&String| document.models.keys().any(|model| fits(pattern, model));
            for pattern in models.0.iter().filter(|pattern| !is_known(pattern)) {
                let known = document.models.keys().map(|model| &**model);
                let mistake = unknown("model", &models.place, pattern, "models", known);
                self.found.push(mistake);
            }
        }
        if let Some(pool) = &rule.set.pool
            && self.known_pool(pool)
            && !(self.is_mistaken)("models")
        {
            self.found.extend(some_candidate(document, rule, pool));
        }
        if let Some(own) = &rule.set.profile {
            self.known_profile(own);
        }
        let name = rule.set.profile.as_ref().unwrap_or(&document.defaults.profile);
        let Some(profile) = document.profile(name) else {
            return;
        };
        self.found
            .extend(room(&rule.set.max_tokens, name, profile.max_tokens));
        self.found
            .extend(room(&rule.set.temperature, name, profile.temperature));
    }

    fn known_pool(&mut self, pool: &Spanned<String>) -> bool {
        let known = self.document.pools.iter().map(|pool| &***pool);
        let is_known = known.clone().any(|known| known == **pool);
        if !is_known && !(self.is_mistaken)("pools") {
            self.found
                .push(unknown("pool", &pool.place, pool, "pools", known));
        }
        is_known
    }

    fn known_profile(&mut self, profile: &Spanned<String>) {
        if self.document.profile(profile).is_none() && !(self.is_mistaken)("profiles") {
            let known = self.document.profiles.keys().map(|name| &**name);
            let mistake = unknown("profile", &profile.place, profile, "profiles", known);
            self.found.push(mistake);
        }
    }
}

/// Each model that the rule names has a candidate in `pool`; where it names none, some model has.
fn some_candidate(document: &Document, rule: &Rule, pool: &Spanned<String>) -> Option<Mistake> {
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
    missing.map(|(model, _)| {
        let pool_name = pool.as_str();
        let problem = format!("model `{model}` has no candidate in pool `{pool_name}`");
        let remedy = format!("add {{pool: {pool_name}, model: …}} under models.{model}");
        pool.place.mistake(problem, remedy)
    })
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
fn room<L: Limits>(set: &Spanned<Bounds<L>>, profile_name: &str, profile: Bounds<L>) -> Option<Mistake>
where
    L::Number: Display,
{
    let both = profile.narrowed_by(**set);
    let (min, max) = (both.min?, both.max?);
    if min <= max {
        return None;
    }
    let problem =
        format!("leaves no value together with profile `{profile_name}` (at least {min}, at most {max})");
    let remedy = "widen one of them, or set another profile";
    Some(set.place.mistake(problem, remedy))
}
