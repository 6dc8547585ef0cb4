//! A tenant: its counters, and what of it waits in each flow.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::{TenantCounter, TenantId};

use super::counter::Counter;
use super::key::{Route, Ticket};

#[derive(Debug, Default)]
pub(super) struct FlowQueue {
    pub(super) counter: Counter,
    pub(super) waiting: BTreeMap<Route, BTreeSet<Ticket>>,
}

/// One tenant. Invariant: `waiting` counts the tickets of its flows.
#[derive(Debug)]
pub struct Tenant {
    pub(super) id: TenantId,
    /// Its share, percent.
    pub(super) weight: u32,
    /// Input and output tokens settled, ever.
    pub(super) settled: (u64, u64),
    pub(super) waiting: usize,
    pub(super) running: usize,
    pub(super) counter: Counter,
    pub(super) flows: [FlowQueue; 3],
    /// Counter of the flow that last had nothing left to wait for.
    pub(super) last_left: u64,
}

impl Tenant {
    pub(super) fn new(id: TenantId, weight: u32) -> Self {
        Self {
            id,
            weight,
            settled: (0, 0),
            waiting: 0,
            running: 0,
            counter: Counter::default(),
            flows: Default::default(),
            last_left: 0,
        }
    }

    /// Its name.
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// What decides when it comes next.
    pub fn value(&self) -> u64 {
        self.counter.value()
    }

    /// Input and output tokens settled, ever.
    pub fn settled(&self) -> (u64, u64) {
        self.settled
    }

    /// Requests waiting.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// For the snapshot.
    pub fn to_snapshot(&self) -> TenantCounter {
        let flows = self.flows.iter();
        TenantCounter {
            tenant: self.id.clone(),
            counter: self.counter.settled() as i64,
            turn: self.counter.turn as i64,
            flows: flows.map(|flow| flow.counter.settled() as i64).collect(),
            last_left: self.last_left as i64,
            prompt_tokens: self.settled.0 as i64,
            completion_tokens: self.settled.1 as i64,
        }
    }

    pub(super) fn restore(&mut self, snapshot: &TenantCounter) {
        self.counter = Counter::restored(snapshot.counter as u64, snapshot.turn as u64);
        self.settled = (snapshot.prompt_tokens as u64, snapshot.completion_tokens as u64);
        self.last_left = snapshot.last_left as u64;
        for (flow, value) in self.flows.iter_mut().zip(&snapshot.flows) {
            flow.counter = Counter::restored(*value as u64, 0);
        }
    }

    pub(super) fn flow_floor(&self) -> u64 {
        let waiting = self.flows.iter().filter(|flow| !flow.waiting.is_empty());
        waiting
            .map(|flow| flow.counter.value())
            .min()
            .unwrap_or(self.last_left)
    }
}
