//! What becomes of a run, drawn by who asks what for which time. Pure.

use std::time::Duration;

use relay_clock::seed_of;
use relay_runner::Chance;

/// How answers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most pieces of an answer, a token each; it has at least one.
    pub most_pieces: u32,
    /// Longest pause before a piece, and before the end.
    pub longest_gap: Duration,
}

/// Of a thousand runs, how many do not finish. By default none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Turned away before anything is asked of the model.
    pub refused: u32,
    /// Turned away by the model, which runs nothing and says when to come again.
    pub busy: u32,
    /// Broken off, before a piece of the answer or behind any of them.
    pub failed: u32,
    /// Silent for ever, likewise.
    pub hung: u32,
}

/// The course of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// The pause before each piece.
    pub(super) gaps: Vec<Duration>,
    /// The pause before the end.
    pub(super) last_gap: Duration,
    pub(super) end: End,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finish,
    Refuse,
    Busy(Duration),
    Fail,
    Hang,
}

/// Longest time after which a busy model wants to be asked again, in milliseconds.
const COME_BACK_MS: u32 = 2_000;

impl Script {
    /// The same for the same seed, model, request and attempt, and the same odds.
    pub(super) fn of(
        seed: u64,
        model: &str,
        request_hash: &str,
        attempt: u32,
        pace: Pace,
        faults: Faults,
    ) -> Self {
        let of_model = seed_of(seed, model, 0);
        let chance = Chance::seeded(seed_of(of_model, request_hash, attempt.into()));
        let below = |bound: u32| chance.draw::<u32>() % bound.max(1);
        // Whole milliseconds, as tokio waits.
        let longest = u32::try_from(pace.longest_gap.as_millis()).unwrap_or(u32::MAX);
        let gap = || Duration::from_millis(below(longest.saturating_add(1)).into());

        let drawn = below(1_000);
        let come_back = Duration::from_millis(below(COME_BACK_MS).into());
        let ends = [
            (faults.refused, End::Refuse),
            (faults.busy, End::Busy(come_back)),
            (faults.failed, End::Fail),
            (faults.hung, End::Hang),
        ];
        let mut upto = 0;
        let met = ends.into_iter().find(|(of_thousand, _)| {
            upto += of_thousand;
            drawn < upto
        });
        let end = met.map_or(End::Finish, |(_, end)| end);
        let whole = 1 + below(pace.most_pieces);
        let pieces = match end {
            End::Finish => whole,
            End::Refuse | End::Busy(_) => 0,
            End::Fail | End::Hang => below(whole + 1),
        };
        Self {
            gaps: (0..pieces).map(|_| gap()).collect(),
            last_gap: gap(),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        most_pieces: 6,
        longest_gap: Duration::from_millis(20),
    };

    fn of(seed: u64, request_hash: &str, attempt: u32, faults: Faults) -> Script {
        Script::of(seed, "m", request_hash, attempt, PACE, faults)
    }

    #[test]
    fn a_script_follows_from_seed_request_and_attempt() {
        let script = of(1, "hash", 1, Faults::default());
        assert_eq!(script, of(1, "hash", 1, Faults::default()));
        for other in [
            of(2, "hash", 1, Faults::default()),
            of(1, "other", 1, Faults::default()),
            of(1, "hash", 2, Faults::default()),
        ] {
            assert_ne!(script, other);
        }
    }

    #[test]
    fn without_faults_all_finish_with_one_piece_to_the_most() {
        let scripts: Vec<Script> = (0..200)
            .map(|attempt| of(1, "hash", attempt, Faults::default()))
            .collect();
        assert!(scripts.iter().all(|script| script.end == End::Finish));
        let pieces = |script: &Script| script.gaps.len();
        assert_eq!(scripts.iter().map(pieces).min(), Some(1));
        assert_eq!(scripts.iter().map(pieces).max(), Some(6));
        assert!(
            scripts
                .iter()
                .flat_map(|script| &script.gaps)
                .all(|gap| *gap <= PACE.longest_gap)
        );
    }

    #[test]
    fn each_fault_is_met_as_often_as_it_is_to_be_and_breaks_off_before_and_behind_pieces() {
        let faults = Faults {
            refused: 100,
            busy: 200,
            failed: 300,
            hung: 400,
        };
        let scripts: Vec<Script> = (0..10_000)
            .map(|attempt| of(3, "hash", attempt, faults))
            .collect();
        let share = |of_end: fn(&End) -> bool| {
            let met = scripts.iter().filter(|script| of_end(&script.end)).count();
            met / 100
        };
        let shares = [
            share(|end| *end == End::Refuse),
            share(|end| matches!(end, End::Busy(_))),
            share(|end| *end == End::Fail),
            share(|end| *end == End::Hang),
        ];
        for (share, expected) in shares.into_iter().zip([10_usize, 20, 30, 40]) {
            assert!(share.abs_diff(expected) <= 2, "{shares:?}");
        }
        for end in [End::Fail, End::Hang] {
            let of_end = || scripts.iter().filter(|script| script.end == end);
            assert!(of_end().any(|script| script.gaps.is_empty()));
            assert!(of_end().any(|script| script.gaps.len() > 1));
        }
    }
}
