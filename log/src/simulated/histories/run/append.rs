//! Appending: makes batches of what a step says, and notes what came of them.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::Run;
use crate::simulated::SimulatedDisk;
use crate::simulated::histories::model::Written;
use crate::simulated::histories::opening;
use crate::simulated::histories::step::{Item, SLOTS};
use crate::{AppendError, Batch, NewRecord, Record, Seq, Slot};

impl Run {
    pub(super) fn append(&mut self, drafts: &[Vec<Item>]) -> &'static str {
        let batches: Vec<Batch> = drafts.iter().map(|items| self.batch(items)).collect();
        let Some(log) = &mut self.log else {
            return "nothing to append to";
        };
        let before = log.last();
        let proof = log.synced() + 1;
        let failing = log.failing().is_some();
        let held = opening::state(log);
        let mut next = held.next.clone();
        let appended = log.append(&batches, self.now);
        let taken: u64 = batches.iter().filter(|_| appended.is_ok()).map(entries).sum();
        let mut seq = log.last() + 1 - taken;
        let mut written = Vec::new();
        for batch in &batches {
            let seqs = seq..seq + entries(batch);
            seq = seqs.end;
            written.push(self.written(batch, seqs, proof, &mut next));
        }
        match appended {
            Ok(offsets) => {
                let expected = written
                    .iter()
                    .map(|batch| batch.records.iter().map(|(_, record)| record.offset).collect());
                let expected: Vec<Vec<i64>> = expected.collect();
                if offsets != expected {
                    self.wrong(format!(
                        "appending gave the offsets {offsets:?}, and {expected:?} were next"
                    ));
                }
                self.model.forget_hits(before + 1);
                self.model.written.extend(written);
                self.model.decide();
                "appended"
            }
            Err(error) => {
                let log = self.log.as_ref().expect("it was appended to");
                if opening::state(log) != held || log.last() < before {
                    self.wrong("a failed append changed what the log holds".to_owned());
                }
                if self.disk.is_dead() || !error.certainly_not_taken() {
                    self.model.unknown.push((self.model.written.len(), written));
                }
                self.refused(&error, failing)
            }
        }
    }

    pub(super) fn refused(&mut self, error: &AppendError, was_failing: bool) -> &'static str {
        let reason = was_failing || self.disk.has_happened() || self.disk.is_dead();
        if !reason {
            self.wrong(format!("refused without a reason: {error}"));
        }
        match error {
            AppendError::TooLarge(_) => "refused as too large",
            AppendError::Full(_) => "refused, full",
            AppendError::Failed(_) => "refused, failed",
            AppendError::Unknown(_) => "refused, result unknown",
            AppendError::Failing(_) => "refused, failing",
        }
    }

    pub(super) fn written(
        &self,
        batch: &Batch,
        seqs: Range<Seq>,
        proof: u64,
        next: &mut BTreeMap<Slot, i64>,
    ) -> Written {
        let records = batch.records.iter().map(|new| {
            let next = next.entry(new.slot).or_default();
            *next += 1;
            let record = Record {
                offset: *next - 1,
                timestamp: self.now,
                key: new.key.clone(),
                meta: new.meta.clone(),
                value: new.value.clone(),
                tombstone: new.tombstone,
            };
            (new.slot, record)
        });
        Written {
            records: records.collect(),
            seqs,
            proof,
            notes: batch.notes.clone(),
            acknowledged: false,
            lost: false,
        }
    }

    pub(super) fn batch(&mut self, items: &[Item]) -> Batch {
        let mut batch = Batch::default();
        for item in items {
            self.counter += 1;
            let counter = self.counter.to_le_bytes();
            let filled = |size: usize| counter.iter().copied().cycle().take(size).collect::<Bytes>();
            let mut put = |slot: usize, key: Option<u8>, value: Bytes, tombstone: bool| {
                batch.records.push(NewRecord {
                    slot: SLOTS[slot],
                    key: key.map(|key| Bytes::from(vec![key; usize::from(key) * 3])),
                    meta: filled(self.counter as usize % 13),
                    value,
                    tombstone,
                });
            };
            match *item {
                Item::Put { slot, size } => put(slot, None, filled(size), false),
                Item::Keyed { slot, key, size } => put(slot, Some(key), filled(size), false),
                Item::Tombstone { slot, key } => put(slot, Some(key), Bytes::new(), true),
                Item::Forged { slot } => put(slot, None, piece_of_a_segment(&self.disk), false),
                Item::Note(name) => batch
                    .notes
                    .push((note(name), Some(filled(usize::from(name) * 7)))),
                Item::Unnote(name) => batch.notes.push((note(name), None)),
            }
        }
        batch
    }
}

fn entries(batch: &Batch) -> u64 {
    (batch.records.len() + batch.notes.len()) as u64
}

fn note(name: u8) -> Bytes {
    Bytes::from(vec![b'n', name])
}

/// The end of some segment, heads and markers and all.
fn piece_of_a_segment(disk: &SimulatedDisk) -> Bytes {
    let names = disk.names();
    let bytes = names
        .iter()
        .rev()
        .nth(1)
        .or(names.last())
        .and_then(|name| disk.contents(name));
    let bytes = bytes.unwrap_or_default();
    Bytes::copy_from_slice(&bytes[bytes.len().saturating_sub(300)..])
}
