//! Which records of a slot there are that is compacted from now on: their keys are read once.

use std::sync::Arc;

use super::Log;
use crate::cleaning::Step;
use crate::compaction::Compacted;
use crate::format::seed;
use crate::reading::{Most, ReadPlan, Source};
use crate::storage::Storage;

impl<S: Storage> Log<S> {
    pub(super) fn plan_learning(&self) -> Option<Step<S>> {
        // What a failed sync may yet take away is not learned.
        let ready = |compacted: &Compacted| !compacted.learned && compacted.from_seq <= self.disk.synced;
        let (slot, compacted) = self.compacted.iter().find(|(_, compacted)| ready(compacted))?;
        let most = Most {
            records: usize::MAX,
            bytes: u64::MAX,
        };
        let mut plans = Vec::new();
        for segment in self.slots.get(slot).into_iter().flat_map(|state| &state.segments) {
            let Some(segment) = self.closed.get(segment) else {
                continue;
            };
            let Some(summary) = segment.summary(*slot) else {
                continue;
            };
            plans.push(ReadPlan {
                slot: *slot,
                range: summary.first..summary.end.min(compacted.from),
                most,
                seed: seed(self.salt, segment.number),
                source: Source::Closed {
                    segment: Arc::clone(segment),
                    files: Arc::clone(&self.files),
                },
            });
        }
        if let Some(active) = &self.active
            && let Some(index) = active.index.slot(*slot)
        {
            let range = index.summary.first..index.summary.end.min(compacted.from);
            let (chosen, next) = crate::reading::choose(index, &range, most, range.end);
            plans.push(ReadPlan {
                slot: *slot,
                range,
                most,
                seed: active.seed,
                source: Source::Open {
                    number: active.number,
                    file: Arc::clone(&active.file),
                    chosen,
                    next,
                },
            });
        }
        Some(Step::Learn {
            slot: *slot,
            plans,
            seq: compacted.from_seq.saturating_sub(1),
        })
    }
}
