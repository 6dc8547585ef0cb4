//! Which rule applies, and the decision trace: every rule, every condition, the value it saw.

use relay_schemas::{Class, ConditionTrace, RuleTrace};

use crate::Features;
use crate::policy::{LONGEST_VALUE, Match, Patterns, Range, Rule};

/// The first rule that matches, and the trace of all of them. Conditions are evaluated also after the first that failed, and
/// rules also after the first that matched, so that the trace answers "why not that one?".
pub(crate) fn decide<'a>(rules: &'a [Rule], features: &Features) -> (Option<&'a Rule>, Vec<RuleTrace>) {
    let mut chosen = None;
    let mut trace = Vec::with_capacity(rules.len());
    for rule in rules {
        let conditions = conditions(&rule.matches, features);
        let matched = conditions.iter().all(|condition| condition.held);
        let applied = matched && chosen.is_none();
        if applied {
            chosen = Some(rule);
        }
        trace.push(RuleTrace {
            rule: rule.name.to_string(),
            matched,
            applied,
            conditions,
        });
    }
    (chosen, trace)
}

fn conditions(matches: &Match, features: &Features) -> Vec<ConditionTrace> {
    // Taken apart, so that a new condition does not build before it is looked at: one that nobody looks at would always hold.
    let Match {
        tenant,
        model,
        prompt_tokens,
        requested_tokens,
        stream,
        class,
    } = matches;
    [
        tenant
            .as_ref()
            .map(|tenants| one_of("tenant", tenants, features.tenant.as_str())),
        model
            .as_ref()
            .map(|models| one_of("model", models, &features.model)),
        prompt_tokens.map(|range| within("prompt_tokens", range, Some(features.prompt_tokens))),
        requested_tokens.map(|range| within("requested_tokens", range, features.requested_tokens)),
        stream.map(|stream| equal("stream", &stream.to_string(), &features.stream.to_string())),
        class.map(|class| equal("class", class_name(class), class_name(features.class))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn one_of(field: &str, list: &Patterns, seen: &str) -> ConditionTrace {
    condition(field, &list.0.join(" | "), seen, list.fit(seen))
}

fn within(field: &str, range: Range, seen: Option<u32>) -> ConditionTrace {
    let expected = match (range.min, range.max) {
        (Some(min), Some(max)) => format!("{min}..{max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any number".to_owned(),
    };
    let held = seen.is_some_and(|seen| range.holds(seen));
    let seen = seen.map_or_else(|| "none".to_owned(), |seen| seen.to_string());
    condition(field, &expected, &seen, held)
}

fn equal(field: &str, expected: &str, seen: &str) -> ConditionTrace {
    condition(field, expected, seen, expected == seen)
}

fn condition(field: &str, expected: &str, seen: &str, held: bool) -> ConditionTrace {
    ConditionTrace {
        field: field.to_owned(),
        expected: clip(expected),
        seen: clip(seen),
        held,
    }
}

pub(crate) fn clip(text: &str) -> String {
    if text.len() <= LONGEST_VALUE {
        return text.to_owned();
    }
    let end = (0..=LONGEST_VALUE - '…'.len_utf8())
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

pub(crate) const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Interactive => "interactive",
        Class::Batch => "batch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_clipped_between_characters() {
        assert_eq!(clip("short"), "short");
        let clipped = clip(&"é".repeat(100));
        assert!(
            clipped.len() <= LONGEST_VALUE && clipped.ends_with("é…"),
            "{clipped}"
        );
    }
}
