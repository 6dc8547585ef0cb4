//! Which of the histories that were possible an opened log holds.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::model::{Excuse, Model, State, Written};
use super::step::SLOTS;
use crate::simulated::SimulatedDisk;
use crate::{Log, Seq, Slot};

/// Next offsets by which entries that were lost without a name may raise a slot's.
const SLACK: i64 = 64;

/// What an opened log holds.
pub(super) struct Chosen {
    /// The first so many batches.
    pub count: usize,
    /// Of which so many are there for certain; the others change nothing.
    pub certain: usize,
    /// And these, whose result was not known.
    pub unknown: Vec<Written>,
}

/// What a log says that it holds.
pub(super) fn state(log: &Log<SimulatedDisk>) -> State {
    let next = SLOTS.iter().map(|slot| (*slot, log.range(*slot).end));
    State {
        next: next.filter(|(_, next)| *next > 0).collect(),
        notes: log.notes().clone(),
    }
}

/// The shortest possible history that fits what the log holds.
pub(super) fn choose(
    model: &Model,
    log: &Log<SimulatedDisk>,
    held: &State,
    power_lost: bool,
) -> Result<Chosen, String> {
    let floor = model.at_least(power_lost);
    let loose = model.loose_notes(false);
    // What nothing proves may be there all the same; where it changes nothing, the log's last number alone tells that it is not.
    let last = log.last();
    let acknowledged = model.written[..model.acknowledged()].iter();
    // What a failed sync lost bears numbers that were given once more.
    let acknowledged = acknowledged.take_while(|batch| batch.lost || batch.seqs.end <= last + 1);
    let acknowledged = acknowledged.count();
    for least in [floor.max(acknowledged), floor] {
        let chosen = shortest(model, least, last, |state| fits(state, held, &loose, 0));
        // Next offsets that were raised, for what was lost without a name, may look like more batches.
        let stands = |chosen: &Chosen| {
            let more = model.written.get(least..chosen.count).unwrap_or_default();
            let mut more = more.iter().chain(&chosen.unknown);
            !model.is_hit() || more.all(|batch| is_there(log, batch))
        };
        if let Some(chosen) = chosen.filter(stands) {
            return Ok(chosen);
        }
    }
    // Entries that were lost without a name raise all next offsets, and a checkpoint knows of offsets whose records were cut
    // off: then what can be read tells how much there is.
    if model.is_hit() {
        let there = model.written[floor..]
            .iter()
            .take_while(|batch| model.hits.range(batch.seqs.clone()).next().is_some() || is_there(log, batch))
            .count();
        let counts = floor..=floor + there;
        // What says which offsets were given to what a failed sync lost stands behind all that it did not lose, and may be cut off.
        let fitting = counts.rev().find(|count| {
            fits(&model.state(*count), held, &loose, SLACK)
                || fits(&model.state_without_lost(*count), held, &loose, SLACK)
        });
        if let Some(count) = fitting {
            return Ok(Chosen {
                count,
                certain: count,
                unknown: Vec::new(),
            });
        }
    }
    if model.is(Excuse::FailedSync) {
        let loose = model.loose_notes(true);
        if let Some(chosen) = shortest(model, floor, log.last(), |state| fits(state, held, &loose, 0)) {
            return Ok(chosen);
        }
    }
    Err(format!(
        "what the log holds is no beginning of what was written: it holds {held:?}, must hold at least {:?} ({floor} batches), and at most {:?} ({} batches)",
        model.state(floor),
        model.state(model.written.len()),
        model.written.len()
    ))
}

/// Whether all of a batch can be read, as far as that can be known.
fn is_there(log: &Log<SimulatedDisk>, batch: &Written) -> bool {
    let mut records = batch.records.iter();
    records.all(|(slot, record)| is_found(log, *slot, record.offset))
}

/// Whether nothing of a batch can be read, which has records.
pub(super) fn is_gone(log: &Log<SimulatedDisk>, batch: &Written) -> bool {
    let mut records = batch.records.iter();
    !batch.records.is_empty() && records.all(|(slot, record)| !is_found(log, *slot, record.offset))
}

fn is_found(log: &Log<SimulatedDisk>, slot: Slot, offset: i64) -> bool {
    let read = log.plan_read(slot, offset..offset + 1, 1, 1).run();
    read.map_or(true, |read| !read.found.is_empty())
}

/// With batches that change nothing of that, up to the entry `last`.
fn shortest(model: &Model, floor: usize, last: Seq, fits: impl Fn(&State) -> bool) -> Option<Chosen> {
    let more = |state: &mut State, batches: &[Written]| {
        let more = batches.iter().take_while(|batch| {
            state.add(batch);
            batch.seqs.end <= last + 1 && fits(state)
        });
        more.count()
    };
    let mut state = model.state(floor);
    for count in floor..=model.written.len() {
        if fits(&state) {
            return Some(Chosen {
                count: count + more(&mut state, &model.written[count..]),
                certain: count,
                unknown: Vec::new(),
            });
        }
        if let Some(batch) = model.written.get(count) {
            state.add(batch);
        }
    }
    for (parent, batches) in model.unknown.iter().filter(|(parent, _)| *parent >= floor) {
        let mut state = model.state(*parent);
        for (at, batch) in batches.iter().enumerate() {
            state.add(batch);
            if fits(&state) {
                let count = at + 1 + more(&mut state, &batches[at + 1..]);
                return Some(Chosen {
                    count: *parent,
                    certain: *parent,
                    unknown: batches[..count].to_vec(),
                });
            }
        }
    }
    None
}

fn fits(state: &State, held: &State, loose: &BTreeSet<Bytes>, slack: i64) -> bool {
    let next = |state: &State, slot: u32| state.next.get(&slot).copied().unwrap_or_default();
    let offsets = SLOTS.iter().all(|slot| {
        let more = next(held, *slot) - next(state, *slot);
        (0..=slack).contains(&more)
    });
    let names = state.notes.keys().chain(held.notes.keys());
    offsets
        && names
            .filter(|name| !loose.contains(*name))
            .all(|name| state.notes.get(name) == held.notes.get(name))
}
