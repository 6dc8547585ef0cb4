//! Holds what the log gives against what it must hold.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;

use super::model::{Excuse, Model, Written};
use super::step::{COMPACTED, SLOTS};
use super::victim::Part;
use crate::simulated::SimulatedDisk;
use crate::{Found, Log, Record, Seq, Slot};

/// A superseded record may go once its successor is so old, milliseconds.
pub(super) const LAG: i64 = 1_000;

/// Everything that there is of a slot from an offset on; nothing where the disk did not give it.
pub(super) fn read(log: &Log<SimulatedDisk>, slot: Slot, from: i64) -> Result<Option<Vec<Found>>, String> {
    let end = log.range(slot).end;
    let mut at = from.max(log.range(slot).start);
    let mut all = Vec::new();
    while at < end {
        let Ok(read) = log.plan_read(slot, at..end, 16, 4096).run() else {
            return Ok(None);
        };
        if read.next <= at {
            return Err(format!(
                "reading slot {slot:#x} from {at} does not go on: next is {}",
                read.next
            ));
        }
        at = read.next;
        all.extend(read.found);
    }
    Ok(Some(all))
}

/// What a comparison showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What is not as it must be.
    pub wrong: Vec<String>,
    /// Where bits were turned in what was reported as damaged.
    pub reported: Vec<Part>,
}

/// Holds what was found in `range` against what must be there; `next` is the next offset.
pub(super) fn compare(
    model: &Model,
    slot: Slot,
    range: Range<i64>,
    next: i64,
    found: &[Found],
    now: i64,
) -> Seen {
    let mut shown = Seen::default();
    let wrong = &mut shown.wrong;
    let mut found = found.iter().peekable();
    let mut seen: BTreeSet<Option<&Bytes>> = BTreeSet::new();
    let written: Vec<(&Record, &Written, Seq)> = model.records(slot).collect();
    for (at, (record, batch, seq)) in written.iter().enumerate() {
        if !range.contains(&record.offset) {
            continue;
        }
        let place = || format!("slot {slot:#x} offset {} (entry {seq})", record.offset);
        while let Some(unknown) = found.next_if(|found| offset_of(found) < record.offset) {
            wrong.extend(never_written(model, slot, unknown));
        }
        let may_be_damaged = batch.lost
            || model.unread.contains(&(slot, record.offset))
            || model.hits.contains_key(seq)
            || model.is(Excuse::FailedSync) && !batch.acknowledged;
        match found.next_if(|found| offset_of(found) == record.offset) {
            Some(Found::Record(given)) if given == *record => {
                seen.insert(given.key.as_ref());
            }
            Some(Found::Record(given)) => wrong.push(format!("{}: is {given:?} and was {record:?}", place())),
            Some(Found::Damaged(_)) if may_be_damaged => shown.reported.extend(model.hits.get(seq)),
            Some(Found::Damaged(damaged)) => wrong.push(format!(
                "{}: is damaged, and nothing touched it: {damaged:?}",
                place()
            )),
            None => {
                // Where several heads are lost, or a torn end took away what named one, nothing may tell whose they were.
                let several = model.head_hits().count() + model.frame_hits.len() > 1;
                let nameless =
                    model.nameless.contains(seq) || several && model.hits.get(seq) == Some(&Part::Head);
                let excused = batch.lost
                    || record.offset < model.low.get(&slot).copied().unwrap_or_default()
                    || nameless
                    || model.is(Excuse::FailedSync) && !batch.acknowledged
                    || is_superseded(slot, record, &written[at + 1..], now)
                    || record.tombstone
                        && batch.acknowledged
                        && record.timestamp + LAG <= now
                        && is_compacted(slot)
                        && record.offset + 1 < next
                        && !seen.contains(&record.key.as_ref());
                if !excused {
                    wrong.push(format!("{}: is missing ({})", place(), standing(batch)));
                }
            }
        }
    }
    wrong.extend(found.filter_map(|unknown| never_written(model, slot, unknown)));
    shown
}

fn never_written(model: &Model, slot: Slot, unknown: &Found) -> Option<String> {
    let offset = offset_of(unknown);
    let may_be = matches!(unknown, Found::Damaged(_)) && model.doubtful.contains(&(slot, offset));
    (!may_be).then(|| format!("slot {slot:#x} offset {offset}: was never written: {unknown:?}"))
}

fn is_compacted(slot: Slot) -> bool {
    SLOTS[COMPACTED..].contains(&slot)
}

/// Whether a later record of the same key is on disk and old enough.
fn is_superseded(slot: Slot, record: &Record, later: &[(&Record, &Written, Seq)], now: i64) -> bool {
    is_compacted(slot)
        && record.key.is_some()
        && later.iter().any(|(other, batch, _)| {
            other.key == record.key && batch.acknowledged && !batch.lost && other.timestamp + LAG <= now
        })
}

fn standing(batch: &Written) -> &'static str {
    if batch.acknowledged {
        "acknowledged"
    } else {
        "written"
    }
}

fn offset_of(found: &Found) -> i64 {
    match found {
        Found::Record(record) => record.offset,
        Found::Damaged(damaged) => damaged.offset,
    }
}
