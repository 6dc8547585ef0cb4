//! What may happen to messages on their way to one process. The drawing is pure: the same generator, the same fate.

use std::time::Duration;

use rand::Rng;

/// What may happen to what one process receives and asks. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Of a thousand messages to it, how many are lost. Its listener is told before the next message of the same sender.
    pub lost: u32,
    /// Of a thousand messages to it, how many come twice.
    pub twice: u32,
    /// Longest time that a message to it takes from its sending on, however long its listener does not look.
    pub delay: Duration,
    /// Whether a message may overtake those of other senders that take longer. Those of one sender come in their order.
    pub overtakes: bool,
    /// Of a thousand questions that it asks, how many have no answer in time: half of them are never heard.
    pub unanswered: u32,
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) lost: bool,
    pub(super) delay: Duration,
    /// How long a second copy takes, if there is one.
    pub(super) copy: Option<Duration>,
    pub(super) overtakes: bool,
}

/// What happens to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// What happens to messages.
    Usual,
    /// It is heard, and its answer is lost.
    Unanswered,
    /// It is lost.
    Unheard,
}

impl Faults {
    pub(super) fn of_message(&self, chance: &mut impl Rng) -> Fate {
        let lost = one_of_them(self.lost, chance);
        let delay = self.delay(chance);
        let copy = one_of_them(self.twice, chance).then(|| self.delay(chance));
        Fate {
            lost,
            delay,
            copy: copy.filter(|_| !lost),
            overtakes: self.overtakes,
        }
    }

    pub(super) fn of_question(&self, chance: &mut impl Rng) -> Asking {
        if !one_of_them(self.unanswered, chance) {
            Asking::Usual
        } else if one_of_them(500, chance) {
            Asking::Unanswered
        } else {
            Asking::Unheard
        }
    }

    /// Whole milliseconds, as tokio waits.
    fn delay(&self, chance: &mut impl Rng) -> Duration {
        let longest = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(chance.random_range(0..=longest))
    }
}

fn one_of_them(of_thousand: u32, chance: &mut impl Rng) -> bool {
    chance.random_range(0..1_000) < of_thousand
}
