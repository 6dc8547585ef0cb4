//! Reads dead letters, each with how it was dealt with.

use std::collections::{HashMap, HashSet, VecDeque};

use anyhow::ensure;
use relay_bus::topics::DEAD_LETTERS;
use relay_bus::{Bus, Partition};
use relay_runner::Stretch;
use relay_schemas::{DeadLetterClosing, Registry};

use super::letter::{Closed, Letter};
use crate::topics::ask::{Letters, Place};

/// Most closings that are remembered while letters are read.
const MOST_CLOSED: usize = 1_000_000;

/// A part of the topic that is read.
struct Part {
    partition: i32,
    from: i64,
    end: i64,
    /// The letter that must lie here, where one was named.
    named: Option<Place>,
}

/// The letters that are asked for, oldest first in each partition, up to the present end.
pub struct Scan<'a> {
    bus: &'a dyn Bus,
    registry: &'a Registry,
    asked: Letters,
    closed: HashMap<Place, Closed>,
    /// Up to where closings were read, by partition.
    ends: HashMap<i32, i64>,
    parts: VecDeque<Part>,
    reading: Option<Stretch<'a>>,
}

impl<'a> Scan<'a> {
    /// Looks which letters are closed.
    pub async fn open(bus: &'a dyn Bus, registry: &'a Registry, asked: Letters) -> anyhow::Result<Self> {
        let mut closed = HashMap::new();
        let mut ends = HashMap::new();
        let mut parts = VecDeque::new();
        for partition in 0..bus.partitions(DEAD_LETTERS).await? {
            let range = bus.range(&at(partition)).await?;
            ends.insert(partition, range.high);
            let named: Vec<Place> = asked
                .named
                .0
                .iter()
                .copied()
                .filter(|place| place.partition == partition)
                .collect();
            // A closing lies behind its letter.
            let first = named.iter().map(|place| place.offset).min();
            let from = first.unwrap_or(range.low).max(range.low);
            if asked.named.0.is_empty() || first.is_some() {
                closings(bus, registry, (partition, from, range.high), &mut closed).await?;
            }
            if asked.named.0.is_empty() {
                parts.push_back(Part {
                    partition,
                    from,
                    end: range.high,
                    named: None,
                });
            }
        }
        let mut before = HashSet::new();
        let once = asked.named.0.iter().filter(|place| before.insert(**place));
        let named = once.map(|place| Part {
            partition: place.partition,
            from: place.offset,
            end: place.offset + 1,
            named: Some(*place),
        });
        parts.extend(named);
        Ok(Self {
            bus,
            registry,
            asked,
            closed,
            ends,
            parts,
            reading: None,
        })
    }

    /// How a letter was closed since all this was opened.
    pub async fn closed_meanwhile(&mut self, letter: Place) -> anyhow::Result<Option<Closed>> {
        let partition = letter.partition;
        let high = self.bus.range(&at(partition)).await?.high;
        let from = self.ends.insert(partition, high).unwrap_or(high);
        let part = (partition, from, high);
        closings(self.bus, self.registry, part, &mut self.closed).await?;
        Ok(self.closed.get(&letter).cloned())
    }

    /// The next letter. One that was named and is not there is an error; one that was named and is closed is a letter all the same.
    pub async fn next(&mut self) -> anyhow::Result<Option<Letter>> {
        while let Some(part) = self.parts.front() {
            let reading = match &mut self.reading {
                Some(reading) => reading,
                None => self.reading.insert(open(self.bus, part).await?),
            };
            let Some(record) = reading.next().await? else {
                self.reading = None;
                let read = self.parts.pop_front();
                if let Some(place) = read.and_then(|part| part.named) {
                    return Err(missing(place));
                }
                continue;
            };
            let place = Place {
                partition: part.partition,
                offset: record.position.offset,
            };
            let is_closing = self
                .registry
                .decode::<DeadLetterClosing>(record.value.as_deref())
                .is_ok();
            if is_closing || record.value.is_none() {
                continue;
            }
            let closed = self.closed.get(&place).cloned();
            let letter = Letter::read(place, record, self.registry, closed);
            if part.named.is_some() {
                self.reading = None;
                self.parts.pop_front();
                return Ok(Some(letter));
            }
            if letter.is_asked_for(&self.asked) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }
}

fn at(partition: i32) -> Partition {
    Partition::new(DEAD_LETTERS, partition)
}

fn missing(place: Place) -> anyhow::Error {
    anyhow::anyhow!(
        "there is no dead letter {place} in {DEAD_LETTERS}: `relay dead-letters list` has those that are open, with --all the closed ones too"
    )
}

async fn open<'a>(bus: &'a dyn Bus, part: &Part) -> anyhow::Result<Stretch<'a>> {
    if let Some(place) = part.named {
        ensure!(
            part.partition < bus.partitions(DEAD_LETTERS).await?,
            missing(place)
        );
        let range = bus.range(&at(part.partition)).await?;
        ensure!((range.low..range.high).contains(&place.offset), missing(place));
    }
    Ok(Stretch::between(bus, at(part.partition), part.from, part.end).await?)
}

async fn closings(
    bus: &dyn Bus,
    registry: &Registry,
    (partition, from, end): (i32, i64, i64),
    closed: &mut HashMap<Place, Closed>,
) -> anyhow::Result<()> {
    let mut records = Stretch::between(bus, at(partition), from, end).await?;
    while let Some(record) = records.next().await? {
        if let Ok(closing) = registry.decode::<DeadLetterClosing>(record.value.as_deref()) {
            let offset = closing.offset;
            // The first one counts: what comes after it closes nothing.
            closed
                .entry(Place { partition, offset })
                .or_insert_with(|| closing.into());
            ensure!(
                closed.len() <= MOST_CLOSED,
                "{DEAD_LETTERS} holds more than {MOST_CLOSED} closed letters: give it a shorter `retention`"
            );
        }
    }
    Ok(())
}
