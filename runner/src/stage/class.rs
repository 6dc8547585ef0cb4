//! What follows from a failed try: the four error classes. Pure.

use relay_schemas::Fingerprint;

use super::contract::StageError;
use crate::dead_letter::{Dead, EXHAUSTED, PANICKED, POISON};

/// How a try failed.
#[derive(Debug)]
pub(super) enum TryFailure {
    /// The stage said so.
    Error(StageError),
    /// It panicked. The payload is left out: it may quote a prompt.
    Panic,
}

/// What has been tried with a record so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tries {
    /// Tries that count: those that did not only wait for a dependency.
    pub(super) failed: u32,
    /// Whether the schema topic has been read for it.
    pub(super) looked_up: bool,
}

/// What to do next with the record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for the dependency, then try again; for as long as it takes.
    Wait {
        /// Its name.
        dependency: &'static str,
        /// What it said.
        reason: String,
    },
    /// Read the schema topic, then try again.
    LookUp(Fingerprint),
    /// Try again after a while.
    Again,
    /// Give it up.
    Dead(Dead),
    /// Stop the service.
    Stop(String),
}

/// Decides after a failed try; `tries` counts those before it.
pub(super) fn decide(failure: TryFailure, tries: Tries, max_attempts: u32) -> Next {
    let attempts = tries.failed + 1;
    let dead = |class, reason| {
        Next::Dead(Dead {
            class,
            reason,
            attempts,
        })
    };
    let last = attempts >= max_attempts;
    match failure {
        TryFailure::Error(StageError::Unavailable { dependency, reason }) => {
            Next::Wait { dependency, reason }
        }
        TryFailure::Error(StageError::Fatal(reason)) => Next::Stop(reason),
        TryFailure::Error(StageError::UnknownSchema(fingerprint)) if !tries.looked_up => {
            Next::LookUp(fingerprint)
        }
        TryFailure::Error(error @ (StageError::UnknownSchema(_) | StageError::Poison(_))) => {
            dead(POISON, error.to_string())
        }
        TryFailure::Error(StageError::Retry(reason)) if last => dead(EXHAUSTED, reason),
        TryFailure::Panic if last => dead(POISON, PANICKED.to_owned()),
        TryFailure::Error(StageError::Retry(_)) | TryFailure::Panic => Next::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(class: &'static str, reason: &str, attempts: u32) -> Next {
        Next::Dead(Dead {
            class,
            reason: reason.to_owned(),
            attempts,
        })
    }

    #[test]
    fn each_class_of_error_has_its_consequence() {
        let unavailable = || StageError::Unavailable {
            dependency: "redis",
            reason: "gone".to_owned(),
        };
        let wait = || Next::Wait {
            dependency: "redis",
            reason: "gone".to_owned(),
        };
        let unknown = "written in the unknown schema 0000000000000000";
        let first = Tries::default();
        let fourth = Tries {
            failed: 3,
            looked_up: false,
        };
        let fifth = Tries {
            failed: 4,
            looked_up: true,
        };
        let cases = [
            (TryFailure::Error(unavailable()), first, wait()),
            (TryFailure::Error(unavailable()), fifth, wait()),
            (
                TryFailure::Error(StageError::Fatal("x".into())),
                first,
                Next::Stop("x".into()),
            ),
            (
                TryFailure::Error(StageError::Poison("x".into())),
                first,
                dead(POISON, "x", 1),
            ),
            (
                TryFailure::Error(StageError::Retry("x".into())),
                first,
                Next::Again,
            ),
            (
                TryFailure::Error(StageError::Retry("x".into())),
                fourth,
                Next::Again,
            ),
            (
                TryFailure::Error(StageError::Retry("x".into())),
                fifth,
                dead(EXHAUSTED, "x", 5),
            ),
            (TryFailure::Panic, first, Next::Again),
            (TryFailure::Panic, fifth, dead(POISON, "the stage panicked", 5)),
            (
                TryFailure::Error(StageError::UnknownSchema([0; 8])),
                first,
                Next::LookUp([0; 8]),
            ),
            (
                TryFailure::Error(StageError::UnknownSchema([0; 8])),
                fifth,
                dead(POISON, unknown, 5),
            ),
        ];
        for (failure, tries, expected) in cases {
            let shown = format!("{failure:?} after {tries:?}");
            assert_eq!(decide(failure, tries, 5), expected, "{shown}");
        }
    }
}
