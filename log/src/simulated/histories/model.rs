//! What the log must hold, by what was done to it: the batches that were appended, which of them were acknowledged, and how a
//! record may rightly be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use super::victim::Part;
use crate::{Damage, Record, Seq, Slot};

/// A batch as it was appended.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Numbers of its entries.
    pub seqs: Range<Seq>,
    /// Its entries say that those with smaller numbers are on disk.
    pub proof: Seq,
    pub records: Vec<(Slot, Record)>,
    pub notes: Vec<(Bytes, Option<Bytes>)>,
    /// Said to be on disk.
    pub acknowledged: bool,
    /// Said to be lost, by a failed sync.
    pub lost: bool,
}

/// Next offsets and notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub next: BTreeMap<Slot, i64>,
    pub notes: BTreeMap<Bytes, Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub written: Vec<Written>,
    /// Batches whose append failed with an unknown result, and how many were written before.
    pub unknown: Vec<(usize, Vec<Written>)>,
    /// What an opened log held after so many batches, where damage made that differ from what was written.
    adopted: BTreeMap<usize, State>,
    /// Everything below was let go.
    pub low: BTreeMap<Slot, i64>,
    /// Numbers of checkpoints and footers in which a bit was turned.
    pub frame_hits: BTreeSet<Seq>,
    /// Numbers of a batch's entries in which a bit was turned.
    pub hits: BTreeMap<Seq, Part>,
    /// Segments in which a bit was turned.
    pub flipped: BTreeSet<u64>,
    /// Offsets that may be told as damaged although nothing is there. Those of batches that were cut off because of turned bits:
    /// where that is not on disk yet, a loss of power may bring back what proves them. And those that were passed over, since
    /// what was lost without a name may have had them.
    pub doubtful: BTreeSet<(Slot, i64)>,
    /// Numbers of entries whose heads were damaged when an opening said that something is lost, and could not say what.
    pub nameless: BTreeSet<Seq>,
    /// Offsets that an opening told as damaged while reads failed.
    pub unread: BTreeSet<(Slot, i64)>,
    excuses: BTreeSet<Excuse>,
}

/// What the disk has done, which excuses what would be a fault of the log otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Excuse {
    /// A sync failed, and what was written since the last good one may be gone from the page cache.
    FailedSync,
    /// The disk did not give back what the log read when it was opened.
    Unread,
    /// The disk was full: a segment may be gone without a word, since its room was worth more.
    Full,
}

impl State {
    pub fn add(&mut self, batch: &Written) {
        for (slot, record) in &batch.records {
            let next = self.next.entry(*slot).or_default();
            *next = (*next).max(record.offset + 1);
        }
        if batch.lost {
            return;
        }
        for (name, value) in &batch.notes {
            match value {
                Some(value) => self.notes.insert(name.clone(), value.clone()),
                None => self.notes.remove(name),
            };
        }
    }
}

impl Model {
    /// Whether this stands.
    pub(super) fn is(&self, excuse: Excuse) -> bool {
        self.excuses.contains(&excuse)
    }

    /// It stands from now on if `so`.
    pub(super) fn excuse(&mut self, excuse: Excuse, so: bool) {
        if so {
            self.excuses.insert(excuse);
        }
    }

    /// It stands from now on if `so`, and not otherwise.
    pub(super) fn excuse_only(&mut self, excuse: Excuse, so: bool) {
        self.excuses.remove(&excuse);
        self.excuse(excuse, so);
    }

    /// What the log holds after the first `count` batches.
    pub fn state(&self, count: usize) -> State {
        let (from, mut state) = match self.adopted.range(..=count).next_back() {
            Some((from, state)) => (*from, state.clone()),
            None => (0, State::default()),
        };
        for batch in &self.written[from..count] {
            state.add(batch);
        }
        state
    }

    /// As [`Model::state`], where nothing says any more which offsets were given to what a failed sync lost.
    pub fn state_without_lost(&self, count: usize) -> State {
        let mut state = State::default();
        for batch in self.written[..count].iter().filter(|batch| !batch.lost) {
            state.add(batch);
        }
        state
    }

    /// Notes what a sync said.
    pub fn acknowledge(&mut self, synced: Seq) {
        for batch in self.written.iter_mut().rev() {
            if batch.acknowledged {
                break;
            }
            batch.acknowledged = batch.seqs.end - 1 <= synced;
        }
        if self.written.last().is_none_or(|last| last.acknowledged) {
            self.excuses.remove(&Excuse::FailedSync);
        }
    }

    /// Notes that entries are said to be lost; what that must not be true of, unless they were given up as `unread`.
    pub fn lose(&mut self, first: Seq, last: Seq, unread: bool) -> Option<String> {
        let mut wrong = None;
        for at in 0..self.written.len() {
            let seqs = self.written[at].seqs.clone();
            if seqs.start > last || seqs.end <= first || self.written[at].lost {
                continue;
            }
            // A turned bit in what nothing proves to have been on disk looks like a failed write; where it took a head away, the
            // next batch may be the rest of the same.
            let mut here = self.hits.range(seqs.start.saturating_sub(1)..seqs.end);
            let hit = here.any(|(hit, _)| !self.must_be_found(*hit));
            // While a log fails it holds what is undecided.
            self.adopted.retain(|adopted, _| *adopted <= at);
            if self.written[at].acknowledged && !hit && !unread {
                wrong = Some(format!(
                    "entries {seqs:?} are said to be lost after they were acknowledged"
                ));
            }
            self.written[at].lost = true;
        }
        wrong
    }

    /// Whether a turned bit in the entry must be told from what a loss of power leaves: it is one of a batch, and others say that
    /// it was on disk.
    pub fn must_be_found(&self, seq: Seq) -> bool {
        let of_a_batch = self.written.iter().any(|batch| batch.seqs.contains(&seq));
        of_a_batch && self.is_proven(seq, self.acknowledged())
    }

    /// Whether this damage may rightly be told: a bit was turned there, or took away what said that a segment went.
    pub fn may_be_damaged(&self, damage: &Damage) -> bool {
        let missing = damage.what.contains("missing");
        self.is(Excuse::FailedSync)
            || self.flipped.contains(&damage.segment)
            || missing && (self.is(Excuse::Full) || !self.flipped.is_empty())
    }

    /// Numbers of a batch's entries whose heads are damaged.
    pub fn head_hits(&self) -> impl Iterator<Item = Seq> {
        let heads = self.hits.iter().filter(|(_, part)| **part == Part::Head);
        heads.map(|(seq, _)| *seq)
    }

    /// Whether a bit of what is left was turned.
    pub fn is_hit(&self) -> bool {
        !self.hits.is_empty() || !self.frame_hits.is_empty()
    }

    /// Batches of which nothing says that they must be there: after a failed sync those that are not acknowledged, and such with
    /// a turned bit that nothing tells from what a loss of power leaves.
    pub fn unsure(&self) -> Vec<usize> {
        let looks_torn = |batch: &Written| {
            let mut hits = self.hits.range(batch.seqs.clone());
            hits.any(|(hit, _)| !self.must_be_found(*hit))
        };
        let failed = self.is(Excuse::FailedSync);
        let batches = self.written.iter().enumerate();
        let unsure = batches.filter(|(_, batch)| failed && !batch.acknowledged || looks_torn(batch));
        unsure.map(|(at, _)| at).collect()
    }

    /// How many batches must be there whatever happened: the acknowledged ones after a loss of power, all after `kill -9`, less
    /// what a turned bit in what nothing proves to have been on disk makes look torn.
    pub fn at_least(&self, power_lost: bool) -> usize {
        let floor = if power_lost || self.is(Excuse::FailedSync) {
            self.acknowledged()
        } else {
            self.written.len()
        };
        let hits = self.hits.keys().chain(&self.frame_hits);
        let unproven = hits.filter(|hit| !self.is_proven(**hit, floor));
        unproven.map(|hit| self.batch_of(*hit)).fold(floor, usize::min)
    }

    /// How many batches there are up to the last acknowledged one.
    pub fn acknowledged(&self) -> usize {
        let at = self.written.iter().rposition(|batch| batch.acknowledged);
        at.map_or(0, |at| at + 1)
    }

    /// Whether one of the first `count` batches, itself whole, says that the entry was on disk.
    pub fn is_proven(&self, seq: Seq, count: usize) -> bool {
        let batches = self.written[..count].iter();
        batches
            .filter(|batch| !self.hits.keys().any(|hit| batch.seqs.contains(hit)))
            .any(|batch| batch.proof > seq && batch.seqs.start > seq)
    }

    fn batch_of(&self, seq: Seq) -> usize {
        self.written.partition_point(|batch| batch.seqs.end <= seq)
    }

    /// Names of notes whose change was damaged; in `doubt`, also those that may have been lost by a process that died before it could
    /// say so.
    pub fn loose_notes(&self, doubt: bool) -> BTreeSet<Bytes> {
        let hit = |batch: &&Written| {
            doubt && !batch.acknowledged || self.hits.keys().any(|hit| batch.seqs.contains(hit))
        };
        let unknown = self.unknown.iter().flat_map(|(_, batches)| batches);
        let batches = self.written.iter().chain(unknown).filter(hit);
        batches
            .flat_map(|batch| batch.notes.iter().map(|(name, _)| name.clone()))
            .collect()
    }

    /// The log wrote on: what stood behind its end, of unknown result, was cut off for good first.
    pub fn decide(&mut self) {
        self.unknown.clear();
    }

    /// Goes back to the first `count` batches, in which the log holds `state`. While that log is `failing` a cut need not be on
    /// disk: what was cut off may come back.
    pub fn cut(&mut self, count: usize, state: &State, failing: bool) {
        let cut: Vec<Written> = self.written.drain(count..).collect();
        for batch in &cut {
            let hit = self.hits.range(batch.seqs.clone()).next().is_some();
            let records = batch.records.iter().filter(|_| hit);
            self.doubtful
                .extend(records.map(|(slot, record)| (*slot, record.offset)));
        }
        let unknown = std::mem::take(&mut self.unknown);
        if failing {
            for (parent, batches) in unknown {
                let before = parent.checked_sub(count).and_then(|more| cut.get(..more));
                self.unknown
                    .extend(before.map(|before| (count, [before, &batches].concat())));
            }
            self.unknown.push((count, cut));
        }
        self.adopted.retain(|at, _| *at <= count);
        for (slot, low) in &mut self.low {
            *low = (*low).min(state.next.get(slot).copied().unwrap_or_default());
        }
        let end = self.written.last().map_or(0, |batch| batch.seqs.end);
        if !failing {
            self.forget_hits(end);
        }
    }

    /// Numbers from `end` on are given anew: what was hit there is gone.
    pub fn forget_hits(&mut self, end: Seq) {
        self.hits.split_off(&end);
        self.frame_hits.split_off(&end);
        self.nameless.split_off(&end);
    }

    /// Offsets that `held` does not know of are given once more.
    pub fn forget_lost(&mut self, held: &State) {
        for batch in self.written.iter_mut().filter(|batch| batch.lost) {
            let given = |slot: &Slot| held.next.get(slot).copied().unwrap_or_default();
            batch.records.retain(|(slot, record)| record.offset < given(slot));
        }
    }

    /// The log holds `state`, which is what all batches made of it but for what damage did.
    pub fn adopt(&mut self, state: State) {
        let known = self.state(self.written.len());
        for (slot, next) in &state.next {
            let passed_over = known.next.get(slot).copied().unwrap_or_default()..*next;
            self.doubtful.extend(passed_over.map(|offset| (*slot, offset)));
        }
        self.adopted.insert(self.written.len(), state);
    }

    /// The records of a slot that were written, in order.
    pub fn records(&self, slot: Slot) -> impl Iterator<Item = (&Record, &Written, Seq)> {
        let batches = self.written.iter();
        batches
            .flat_map(|batch| {
                (batch.seqs.start..)
                    .zip(&batch.records)
                    .map(move |(seq, record)| (batch, seq, record))
            })
            .filter(move |(_, _, (of, _))| *of == slot)
            .map(|(batch, seq, (_, record))| (record, batch, seq))
    }
}
