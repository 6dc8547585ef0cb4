//! What the tables hold, and what each call does to them: all of it, or nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::{RequestId, TimestampMs};

use super::trace::Trace;
use crate::error::StoreError;
use crate::logged::LoggedOutcome;
use crate::outcomes::verdict::{Verdict, WinnerPositions, fold};
use crate::outcomes::{Advance, Positions};
use crate::traces::{TraceFilter, TraceSummary};

#[derive(Default)]
pub(super) struct State {
    winners: WinnerPositions,
    /// When each winner's request ended.
    ended: BTreeMap<String, TimestampMs>,
    /// In the order of the list, from its end.
    traces: BTreeMap<(TimestampMs, String), Trace>,
    /// When the request of each trace ended.
    traced: BTreeMap<String, TimestampMs>,
    folded: Positions,
    refused: BTreeSet<RequestId>,
}

impl State {
    pub(super) fn fold(
        &mut self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut folded = self.folded.clone();
        for advance in advances {
            let before = folded.insert(advance.partition, advance.to);
            if before.map(|before| before.next) != advance.from {
                return Err(StoreError::Moved);
            }
        }
        let mut requests = outcomes.iter().map(|logged| &logged.outcome.request_id);
        if let Some(refused) = requests.find(|request| self.refused.contains(*request)) {
            return Err(StoreError::Refused(format!("the simulation refuses {refused}")));
        }
        let verdicts = fold(&mut self.winners, outcomes);
        for (logged, verdict) in outcomes.iter().zip(&verdicts) {
            if *verdict == Verdict::Won {
                self.put(logged);
            }
        }
        self.folded = folded;
        Ok(verdicts)
    }

    /// In the place of the trace that another outcome of the request left.
    fn put(&mut self, logged: &LoggedOutcome) {
        let (request, ended_at) = (logged.outcome.request_id.as_str(), logged.outcome.ended_at);
        self.ended.insert(request.to_owned(), ended_at);
        if let Some(before) = self.traced.insert(request.to_owned(), ended_at) {
            self.traces.remove(&(before, request.to_owned()));
        }
        self.traces
            .insert((ended_at, request.to_owned()), Trace::of(logged));
    }

    pub(super) fn has_ended(&self, request: &RequestId) -> bool {
        self.winners.contains_key(request.as_str())
    }

    pub(super) fn folded(&self) -> Positions {
        self.folded.clone()
    }

    pub(super) fn forget_all(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        *self = Self {
            refused,
            ..Self::default()
        };
    }

    pub(super) fn forget_before(&mut self, before: TimestampMs) {
        let winners = &mut self.winners;
        self.ended.retain(|request, ended_at| {
            let stays = *ended_at >= before;
            if !stays {
                winners.remove(request);
            }
            stays
        });
    }

    pub(super) fn find(&self, request: &RequestId) -> Option<LoggedOutcome> {
        let request = request.as_str();
        let ended_at = *self.traced.get(request)?;
        let trace = self.traces.get(&(ended_at, request.to_owned()))?;
        Some(trace.kept.clone())
    }

    pub(super) fn list(&self, filter: &TraceFilter) -> Vec<TraceSummary> {
        let is_behind = |(ended_at, request): &(TimestampMs, String)| match (filter.before, &filter.before_id)
        {
            (Some(before), Some(id)) => (*ended_at, request.as_str()) < (before, id.as_str()),
            (Some(before), None) => *ended_at < before,
            (None, _) => true,
        };
        let newest_first = self.traces.iter().rev();
        newest_first
            .filter(|(key, trace)| is_behind(key) && trace.matches(filter))
            .map(|(_, trace)| trace.summary.clone())
            .take(filter.limit.min(TraceFilter::MOST) as usize)
            .collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.traces.len() as u64
    }

    pub(super) fn delete_before(&mut self, before: TimestampMs) -> u64 {
        let stays = self.traces.split_off(&(before, String::new()));
        let gone = std::mem::replace(&mut self.traces, stays);
        for (_, request) in gone.keys() {
            self.traced.remove(request);
        }
        gone.len() as u64
    }

    pub(super) fn refuse(&mut self, request: &RequestId) {
        self.refused.insert(request.clone());
    }
}
