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
const REQUIRED: &[(&str, &str, &[&str])] = &[
    (
        "EIO",
        "from create",
        &[
            "cleaning failed",
            "not mended",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "refused, failed",
            "sync failed, failing",
        ],
    ),
    (
        "EIO",
        "from folder sync",
        &[
            "cleaning took place",
            "not mended",
            "opened whole",
            "opened, a torn tail cut",
            "opening refused",
            "sync failed, all written again",
            "sync failed, failing",
        ],
    ),
    (
        "EIO",
        "from list",
        &["flipped", "not verified", "opening refused"],
    ),
    (
        "EIO",
        "from open",
        &["flipped", "not verified", "opening refused", "read"],
    ),
    (
        "EIO",
        "from read",
        &[
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "opening refused",
            "read",
            "verified",
        ],
    ),
    (
        "EIO",
        "from remove",
        &[
            "cleaning took place",
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "opening refused",
            "sync failed, failing",
        ],
    ),
    (
        "EIO",
        "from rename",
        &[
            "cleaning failed",
            "not mended",
            "opened whole",
            "opened, a torn tail cut",
        ],
    ),
    (
        "EIO",
        "from set_len",
        &["opening refused", "refused, failed", "refused, result unknown"],
    ),
    (
        "EIO",
        "from sync",
        &[
            "cleaning failed",
            "cleaning took place",
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "opening refused",
            "refused, failed",
            "refused, result unknown",
            "sync failed",
            "sync failed, all written again",
            "sync failed, failing",
            "sync failed, some lost and said so",
        ],
    ),
    (
        "EIO",
        "from write",
        &[
            "cleaning failed",
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "refused, failed",
            "refused, result unknown",
            "sync failed, failing",
        ],
    ),
    (
        "ENOSPC",
        "from create",
        &["not mended", "opened whole", "refused, full"],
    ),
    (
        "ENOSPC",
        "from folder sync",
        &["opening refused", "sync failed, failing"],
    ),
    ("ENOSPC", "from list", &["not verified", "opening refused"]),
    (
        "ENOSPC",
        "from open",
        &["not verified", "opening refused", "read"],
    ),
    (
        "ENOSPC",
        "from remove",
        &["opened whole", "opened, a torn tail cut", "opening refused"],
    ),
    ("ENOSPC", "from rename", &["opened whole"]),
    ("ENOSPC", "from set_len", &["opening refused"]),
    (
        "ENOSPC",
        "from sync",
        &[
            "cleaning took place",
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "opening refused",
            "refused, result unknown",
            "sync failed",
            "sync failed, all written again",
            "sync failed, failing",
            "sync failed, some lost and said so",
        ],
    ),
    (
        "ENOSPC",
        "from write",
        &[
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "refused, full",
            "refused, result unknown",
            "sync failed, failing",
        ],
    ),
    ("a bit turned", "in a checkpoint", &["done"]),
    ("a bit turned", "in a footer", &["done"]),
    (
        "a bit turned",
        "in a key or meta",
        &["done", "found by verify", "reported at its offset"],
    ),
    (
        "a bit turned",
        "in a value",
        &["done", "found by verify", "reported at its offset"],
    ),
    ("a bit turned", "in the head of a segment", &["done"]),
    (
        "a bit turned",
        "in the head of an entry",
        &["done", "found by verify", "reported at its offset"],
    ),
    (
        "kill",
        "between steps",
        &[
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
        ],
    ),
    (
        "no room",
        "from write",
        &[
            "cleaning failed",
            "not mended",
            "nothing to sync",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "refused, full",
            "refused, result unknown",
            "sync failed, failing",
        ],
    ),
    (
        "power cut",
        "between steps",
        &[
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
        ],
    ),
    ("short", "from read", &["opened whole", "read"]),
    (
        "short",
        "from write",
        &[
            "appended",
            "cleaning took place",
            "marked",
            "opened whole",
            "opened, a torn tail cut",
            "opened, something cut or damaged",
            "refused, failed",
            "refused, full",
            "refused, result unknown",
            "rolled",
            "sync failed, failing",
        ],
    ),
];

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((fault, outcome), count) in &self.0 {
            writeln!(f, "{count:>12}  {} {}: {outcome}", fault.what, fault.at)?;
        }
        Ok(())
    }
}
