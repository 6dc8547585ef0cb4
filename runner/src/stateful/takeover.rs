//! From a snapshot and the log's rest to the lead: each input is read on from where the state is folded to, and nothing is decided
//! before all is folded that lay in the log at the election.

use std::time::{Duration, Instant};

use relay_bus::{BusError, OffsetRange, Partition};
use relay_clock::Clock;

use super::ends::Ends;
use super::log::LogClient;

/// State that is a fold of inputs in the log.
pub trait Folded {
    /// Names an input: one topic.
    type Input: Copy + Send + Sync;

    /// The topic of an input.
    fn topic(&self, input: Self::Input) -> String;

    /// Says what a partition's log holds. A log that was cut back is folded from its new end on; what lies before its start can
    /// never be folded.
    fn bound(&mut self, input: Self::Input, partition: i32, low: i64, high: i64);

    /// From where on a partition must be read.
    fn reads_from(&self, input: Self::Input, partition: i32) -> i64;

    /// Whether everything is folded that lay before these ends.
    fn has_folded(&self, ends: &Ends<Self::Input>) -> bool;
}

/// Where one input is read from.
pub struct Opened<I> {
    /// The input.
    pub input: I,
    /// Its partitions, each with the offset.
    pub from: Vec<(Partition, i64)>,
}

/// What a partition of an input holds.
pub type Held<I> = (I, i32, OffsetRange);

/// A takeover that is not over before the state holds what a predecessor did.
pub struct Takeover<I> {
    ends: Option<Ends<I>>,
    began: Instant,
    /// When something was folded last.
    moved: Instant,
}

/// A log that ends before what was folded of it holds other records than those. Which of them are new nobody can tell, and what has
/// ended must not run again.
fn tell_of_what_is_passed_over(next: i64, partition: &Partition, held: OffsetRange) {
    if next <= held.high || held.low == held.high {
        return;
    }
    tracing::error!(
        messaging.topic = partition.topic.as_str(),
        messaging.partition = partition.partition,
        folded_to = next,
        first = held.low,
        end = held.high,
        "a partition ends before the place to which it was folded: its topic was made anew, or lost its end. What it holds up to \
         its end is passed over; requests among it end as expired at their deadlines"
    );
}

impl<I: Copy + Send + Sync> Takeover<I> {
    /// Bounds `state` by what the log holds, and says where each input is read from. Asks for the ends in the order of `inputs`:
    /// name an input before those whose records its own follow from, so that their ends lie behind.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn begin<S: Folded<Input = I>>(
        log: &LogClient,
        began: Instant,
        state: &mut S,
        inputs: &[I],
    ) -> Result<(Self, Vec<Opened<I>>), BusError> {
        let mut ends = Ends::default();
        let mut opened = Vec::new();
        for &input in inputs {
            let mut from = Vec::new();
            for (partition, range) in log.ranges(&state.topic(input)).await? {
                let number = partition.partition;
                tell_of_what_is_passed_over(state.reads_from(input, number), &partition, range);
                state.bound(input, number, range.low, range.high);
                from.push((partition, state.reads_from(input, number).max(range.low)));
                if range.low < range.high {
                    ends.add(input, number, range.high);
                }
            }
            opened.push(Opened { input, from });
        }
        let ends = Some(ends);
        // What it waited for the log until now is no standstill.
        let moved = log.runtime().clock.instant();
        Ok((Self { ends, began, moved }, opened))
    }

    /// Something was folded.
    pub fn moves(&mut self, clock: &Clock) {
        self.moved = clock.instant();
    }

    /// For how long nothing was folded; nothing once it is over.
    pub fn stands_still(&self, clock: &Clock) -> Duration {
        let still = || clock.since(self.moved);
        self.ends.as_ref().map_or(Duration::ZERO, |_| still())
    }

    /// Takes in what the log holds by now: what was let go since it began can never be folded, and is waited for no longer.
    pub fn bound_again<S: Folded<Input = I>>(&mut self, state: &mut S, held: &[Held<I>])
    where
        I: PartialEq,
    {
        let Some(ends) = &mut self.ends else { return };
        for (input, partition, range) in held {
            state.bound(*input, *partition, range.low, range.high);
        }
        ends.cut(|input, partition| {
            let mut held = held.iter();
            let held = held.find(|(of, number, _)| (*of, *number) == (input, partition));
            held.map_or(i64::MAX, |(.., range)| range.high)
        });
    }

    /// Where the inputs ended at the election; `None` once it is over.
    pub fn ends(&self) -> Option<&Ends<I>> {
        self.ends.as_ref()
    }

    /// Whether the state holds all of it, and decisions may be made.
    pub fn is_over(&self) -> bool {
        self.ends.is_none()
    }

    /// Says once, as soon as `state` has folded what it must, how long that took.
    pub fn finish<S: Folded<Input = I>>(&mut self, state: &S, clock: &Clock) -> Option<Duration> {
        self.ends.take_if(|ends| state.has_folded(ends))?;
        Some(clock.since(self.began))
    }
}
