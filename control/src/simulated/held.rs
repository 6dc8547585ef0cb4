//! What is on its way to one listener, in the order in which it arrives. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::faults::Fate;
use crate::api::Delivery;

/// Deliveries that are not due yet.
pub(super) struct Held<T> {
    /// By when each is due, and of one moment by when it was sent.
    due: BTreeMap<(Instant, u64), Delivery<T>>,
    /// When the last one of each sender is due.
    last: BTreeMap<String, Instant>,
    number: u64,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            last: BTreeMap::new(),
            number: 0,
        }
    }
}

impl<T: Clone> Held<T> {
    /// A message of `sender` is on its way, or is lost: then that is told in its place.
    pub(super) fn send(&mut self, sender: &str, message: T, fate: Fate, now: Instant) {
        if fate.lost {
            self.push(sender, Delivery::Lost, fate.delay, fate.overtakes, now);
            return;
        }
        if let Some(later) = fate.copy {
            let copy = Delivery::Message(message.clone());
            self.push(sender, copy, fate.delay, fate.overtakes, now);
            self.push(sender, Delivery::Message(message), later, fate.overtakes, now);
        } else {
            self.push(
                sender,
                Delivery::Message(message),
                fate.delay,
                fate.overtakes,
                now,
            );
        }
    }

    /// What is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Delivery<T>> {
        if self.next_due()? > now {
            return None;
        }
        let (_, delivery) = self.due.pop_first()?;
        if self.due.is_empty() {
            // Nothing is left that could be overtaken.
            self.last.clear();
        }
        Some(delivery)
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    fn push(&mut self, sender: &str, delivery: Delivery<T>, delay: Duration, overtakes: bool, now: Instant) {
        let before = if overtakes {
            self.last.get(sender).copied()
        } else {
            self.latest()
        };
        let due = before.map_or(now + delay, |before| before.max(now + delay));
        self.last.insert(sender.to_owned(), due);
        self.due.insert((due, self.number), delivery);
        self.number += 1;
    }

    fn latest(&self) -> Option<Instant> {
        self.due.last_key_value().map(|((due, _), _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;
    use relay_clock::Clock;

    use super::*;
    use crate::simulated::Faults;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn late(milliseconds: u64, overtakes: bool) -> Fate {
        Fate {
            lost: false,
            delay: ms(milliseconds),
            copy: None,
            overtakes,
        }
    }

    fn all(held: &mut Held<u32>, now: Instant) -> Vec<Option<u32>> {
        let said = |delivery| match delivery {
            Delivery::Message(number) => Some(number),
            Delivery::Lost => None,
        };
        std::iter::from_fn(|| held.take(now)).map(said).collect()
    }

    #[test]
    fn a_message_overtakes_those_of_other_senders_only_and_only_where_it_may() {
        let now = Clock::system().instant();
        for (overtakes, order) in [(true, [2, 3, 1]), (false, [1, 2, 3])] {
            let mut held = Held::default();
            held.send("a", 1, late(9, overtakes), now);
            held.send("b", 2, late(3, overtakes), now);
            held.send("b", 3, late(0, overtakes), now);
            assert_eq!(held.take(now), None);
            assert_eq!(all(&mut held, now + ms(9)), order.map(Some));
        }
    }

    proptest! {
        /// Whatever happens, a listener that misses a message of a sender is told before the next one of that sender, and nothing of
        /// one sender comes out of turn.
        #[test]
        fn of_each_sender_nothing_is_out_of_turn_and_no_gap_goes_untold(
            seed: u64,
            lost in 0_u32..500,
            twice in 0_u32..500,
            overtakes: bool,
            senders in proptest::collection::vec(0_usize..3, 1..60),
        ) {
            let faults = Faults { lost, twice, delay: ms(20), overtakes, unanswered: 0 };
            let mut chance = SmallRng::seed_from_u64(seed);
            let (mut held, began) = (Held::default(), Clock::system().instant());
            let mut sent = [0_u32; 3];
            let mut heard = Vec::new();
            for (step, sender) in senders.into_iter().enumerate() {
                let now = began + ms(step as u64 * 4);
                while let Some(delivery) = held.take(now) {
                    heard.push(delivery);
                }
                sent[sender] += 1;
                let fate = faults.of_message(&mut chance);
                held.send(["a", "b", "c"][sender], (sender, sent[sender]), fate, now);
            }
            while let Some(delivery) = held.take(began + ms(100_000)) {
                heard.push(delivery);
            }
            let (mut last, mut told) = ([0_u32; 3], [0_usize; 3]);
            for (at, delivery) in heard.iter().enumerate() {
                let Delivery::Message((sender, number)) = delivery else { continue };
                prop_assert!(*number >= last[*sender], "out of turn: {heard:?}");
                if *number > last[*sender] + 1 {
                    let gap = &heard[told[*sender]..at];
                    prop_assert!(gap.contains(&Delivery::Lost), "not told: {heard:?}");
                }
                (last[*sender], told[*sender]) = (*number, at);
            }
        }
    }
}
