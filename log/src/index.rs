//! Where the records of a segment are: one per slot, in memory for the segment being written, from its footer for others.

use std::collections::BTreeMap;

use crate::Slot;
use crate::format::footer::{Place, Summary, encode_places, take_places};

/// The records of one slot in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotIndex {
    /// What there is.
    pub summary: Summary,
    /// Where, ordered by offset.
    pub places: Vec<Place>,
}

/// Where every record of a segment is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    slots: BTreeMap<Slot, SlotIndex>,
    records: u32,
}

/// A record, as an index takes it.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// Its slot.
    pub slot: Slot,
    /// Its offset.
    pub offset: i64,
    /// Its first byte.
    pub position: u32,
    /// Its bytes; 0 where its head is lost.
    pub size: u32,
    /// When it was appended; nothing where its head is lost.
    pub timestamp: Option<i64>,
}

impl Index {
    /// Adds a record. Offsets of a slot come in order.
    pub fn push(&mut self, placed: Placed) {
        let fresh = || SlotIndex {
            summary: Summary {
                slot: placed.slot,
                first: placed.offset,
                end: placed.offset,
                count: 0,
                bytes: 0,
                oldest_ms: placed.timestamp.unwrap_or(0),
                newest_ms: placed.timestamp.unwrap_or(0),
            },
            places: Vec::new(),
        };
        let index = self.slots.entry(placed.slot).or_insert_with(fresh);
        let summary = &mut index.summary;
        if let Some(timestamp) = placed.timestamp {
            summary.oldest_ms = summary.oldest_ms.min(timestamp);
            summary.newest_ms = summary.newest_ms.max(timestamp);
        }
        summary.end = placed.offset + 1;
        summary.count += 1;
        summary.bytes += u64::from(placed.size);
        index.places.push(Place {
            delta: (placed.offset - summary.first) as u32,
            position: placed.position,
            size: placed.size,
        });
        self.records += 1;
    }

    /// Records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// What there is of `slot`.
    pub fn slot(&self, slot: Slot) -> Option<&SlotIndex> {
        self.slots.get(&slot)
    }

    /// Every record, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Slot, i64, Place)> {
        self.slots.values().flat_map(|index| {
            let places = index.places.iter();
            places.map(|place| {
                (
                    index.summary.slot,
                    index.summary.first + i64::from(place.delta),
                    *place,
                )
            })
        })
    }

    /// What stands before `position`.
    pub fn before(&self, position: u64) -> Self {
        let mut all: Vec<_> = self
            .all()
            .filter(|(.., place)| u64::from(place.position) < position)
            .collect();
        all.sort_unstable_by_key(|(slot, offset, _)| (*slot, *offset));
        let mut index = Self::default();
        for (slot, offset, place) in all {
            let summary = self.slots[&slot].summary;
            index.push(Placed {
                slot,
                offset,
                position: place.position,
                size: place.size,
                timestamp: Some(summary.newest_ms),
            });
            if let Some(left) = index.slots.get_mut(&slot) {
                left.summary.oldest_ms = summary.oldest_ms;
            }
        }
        index
    }

    /// The summaries, ordered by slot.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut summaries: Vec<Summary> = self.slots.values().map(|index| index.summary).collect();
        summaries.sort_unstable_by_key(|summary| summary.slot);
        summaries
    }

    /// The value of the footer that goes with these `summaries`.
    pub fn encode(&self, summaries: &[Summary]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 * self.records as usize);
        for summary in summaries {
            encode_places(&mut bytes, &self.slots[&summary.slot].places);
        }
        bytes
    }

    /// Reads the value of a footer back; nothing if it is none.
    pub fn decode(summaries: &[Summary], mut bytes: &[u8]) -> Option<Self> {
        let mut index = Self::default();
        for summary in summaries {
            let places = take_places(&mut bytes, summary.count)?;
            index.records += summary.count;
            let summary = *summary;
            index.slots.insert(summary.slot, SlotIndex { summary, places });
        }
        Some(index)
    }
}

impl SlotIndex {
    /// The records from `offset` on.
    pub fn from(&self, offset: i64) -> &[Place] {
        let delta = offset - self.summary.first;
        &self.places[self
            .places
            .partition_point(|place| i64::from(place.delta) < delta)..]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn an_index_comes_back_from_its_footer() {
        let mut index = Index::default();
        for (slot, offset, position) in [(7, 3, 128), (1, 9, 300), (7, 4, 500), (7, 9, 700)] {
            index.push(Placed {
                slot,
                offset,
                position,
                size: 100,
                timestamp: Some(offset),
            });
        }
        let summaries = index.summaries();
        assert_eq!(
            Index::decode(&summaries, &index.encode(&summaries)),
            Some(index.clone())
        );
        let seven = index.slot(7).unwrap();
        assert_eq!(
            (seven.summary.first, seven.summary.end, seven.summary.count),
            (3, 10, 3)
        );
        assert_eq!(seven.from(5), &seven.places[2..]);
        assert_eq!(seven.from(0).len(), 3);
    }
}
