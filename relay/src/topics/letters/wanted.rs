//! Finds the records of dead letters, if they may be put back.

use std::collections::HashMap;

use relay_bus::topics::OUTCOMES;
use relay_bus::{Bus, BusError, Partition, Record};
use relay_runner::{Stretch, read_outcome};
use relay_schemas::{DeadLetter, Outcome, Registry, RequestId, TimestampMs};

use super::original::original;
use super::scan::Scan;
use super::verdict::{Verdict, carries_request, verdict};
use crate::topics::ask::Letters;

/// Most requests whose ends are looked for in one reading of the outcomes.
const MOST_FORESEEN: usize = 100_000;

/// The records of one command's letters. The outcomes are read once for all of them, and then on from there.
pub struct Wanted<'a> {
    bus: &'a dyn Bus,
    registry: &'a Registry,
    /// How requests ended that letters carry; nothing where the log knows of no end.
    ends: HashMap<RequestId, Option<String>>,
    /// Up to where the outcomes were read, by partition.
    read: HashMap<i32, i64>,
}

impl<'a> Wanted<'a> {
    /// Of the letters that are asked for, as far as they can be foreseen.
    pub async fn of(
        bus: &'a dyn Bus,
        registry: &'a Registry,
        asked: Letters,
        now: TimestampMs,
    ) -> anyhow::Result<Self> {
        let mut wanted = Self {
            bus,
            registry,
            ends: HashMap::new(),
            read: HashMap::new(),
        };
        let mut letters = Scan::open(bus, registry, asked).await?;
        while wanted.ends.len() < MOST_FORESEEN
            && let Some(letter) = letters.next().await?
        {
            if let (Ok(body), None) = (&letter.body, &letter.closed)
                && carries_request(&body.source_topic)
                && let Ok(record) = original(bus, body).await?
                && let Verdict::UnlessEnded(id) = verdict(body, &record, registry, now)
            {
                wanted.ends.insert(id, None);
            }
        }
        Ok(wanted)
    }

    /// The record that `letter` stands for, or why it stays where it is.
    pub async fn record(
        &mut self,
        letter: &DeadLetter,
        now: TimestampMs,
    ) -> Result<Result<Record, String>, BusError> {
        let record = match original(self.bus, letter).await? {
            Ok(record) => record,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match verdict(letter, &record, self.registry, now) {
            Verdict::Resend => Ok(record),
            Verdict::Keep(why) => Err(why),
            Verdict::UnlessEnded(id) => match self.end_of(&id).await? {
                Some(end) => Err(format!("its request {id} has ended: {end}")),
                None => Ok(record),
            },
        })
    }

    /// How a request ended, where the log knows it.
    async fn end_of(&mut self, id: &RequestId) -> Result<Option<String>, BusError> {
        if !self.ends.contains_key(id) {
            self.ends.insert(id.clone(), None);
            self.read.clear();
        }
        for partition in 0..self.bus.partitions(OUTCOMES).await? {
            self.read_on(Partition::new(OUTCOMES, partition)).await?;
        }
        Ok(self.ends.get(id).cloned().flatten())
    }

    async fn read_on(&mut self, partition: Partition) -> Result<(), BusError> {
        let range = self.bus.range(&partition).await?;
        let number = partition.partition;
        let from = self
            .read
            .get(&number)
            .map_or(range.low, |read| range.low.max(*read));
        if from >= range.high {
            return Ok(());
        }
        let mut outcomes = Stretch::between(self.bus, partition, from, range.high).await?;
        while let Some(record) = outcomes.next().await? {
            let named = record.headers.request_id();
            if named.is_some_and(|id| !self.ends.contains_key(&id)) {
                continue;
            }
            if let Ok(outcome) = read_outcome(self.registry, &record)
                && let Some(end) = self.ends.get_mut(&outcome.request_id)
            {
                end.get_or_insert_with(|| words(&outcome));
            }
        }
        self.read.insert(number, range.high);
        Ok(())
    }
}

fn words(outcome: &Outcome) -> String {
    let code = outcome.code.as_ref().map(|code| format!(" ({code})"));
    format!("{}{}", outcome.status.name(), code.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::ask::Selection;
    use crate::topics::tests::House;
    use crate::topics::tests::dead_letters::{dead, named, of_request, outcome};

    use relay_bus::topics::REQUESTS;
    use relay_bus::{Headers, Outgoing};
    use relay_schemas::{Request, encode, samples};

    #[tokio::test]
    async fn the_outcomes_are_read_once_for_all_letters_and_on_from_there() {
        let house = House::new();
        let now = house.keeper.clock.now();
        for id in ["request-1", "request-2", "request-3"] {
            let request = Request {
                request_id: id.into(),
                deadline: now.plus_ms(3_600_000),
                ..samples::request()
            };
            let nameless = Outgoing::keyed(REQUESTS, "key", Headers::default(), encode(&request));
            dead(&house, nameless, "why", "relay.planner").await;
        }
        let every = Selection {
            every: true,
            ..Selection::default()
        };
        let registry = Registry::default();
        let mut wanted = Wanted::of(&*house.keeper.bus, &registry, every.into(), now)
            .await
            .expect("the log can be read");
        assert_eq!(wanted.ends.len(), 3, "all are looked for at once");
        let mut letters = Scan::open(&*house.keeper.bus, &registry, named("0/0").into())
            .await
            .expect("the log can be read");
        let first = letters.next().await.expect("it can be read").expect("a letter");
        let first = first.body.expect("a letter that can be read");
        assert!(
            wanted
                .record(&first, now)
                .await
                .expect("the log is there")
                .is_ok()
        );
        assert_eq!(wanted.read.values().sum::<i64>(), 0, "there is none yet");

        house.publish(vec![outcome(of_request())]).await;
        let ended = wanted.record(&first, now).await.expect("the log is there");
        let ended = ended.expect_err("its request has ended meanwhile");
        assert!(ended.contains("has ended: completed"), "{ended}");
        assert_eq!(wanted.read.values().sum::<i64>(), 1, "none is read twice");
        assert_eq!(wanted.ends.len(), 3);
    }
}
