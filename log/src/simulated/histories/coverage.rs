//! Which faults met which outcomes, and how often: a pair that must be met and never was is a hole in the histories.

use std::collections::BTreeMap;
use std::fmt;

/// A fault, by what went wrong and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What.
    pub what: &'static str,
    /// Where.
    pub at: &'static str,
}

/// Counts by fault and outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(Fault, &'static str), u64>);

impl Coverage {
    pub(super) fn met(&mut self, what: &'static str, at: &'static str, outcome: &'static str) {
        *self.0.entry((Fault { what, at }, outcome)).or_default() += 1;
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.0 {
            *self.0.entry(*pair).or_default() += count;
        }
    }

    /// The pairs that must be met by many histories and were not.
    pub fn missing(&self) -> Vec<String> {
        let met = |what: &str, at: &str, outcome: &str| {
            let mut pairs = self.0.keys();
            pairs.any(|(fault, came)| fault.what == what && fault.at == at && *came == outcome)
        };
        let missing = REQUIRED.iter().flat_map(|(what, at, outcomes)| {
            let missing = outcomes.iter().filter(move |outcome| !met(what, at, outcome));
            missing.map(move |outcome| format!("{what} {at}: {outcome}"))
        });
        missing.collect()
    }
}

/// What each fault must have led to somewhere in a great many histories.
const REQUIRED: &[(&str, &str, &[&str])] = &[];

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((fault, outcome), count) in &self.0 {
            writeln!(f, "{count:>12}  {} {}: {outcome}", fault.what, fault.at)?;
        }
        Ok(())
    }
}
