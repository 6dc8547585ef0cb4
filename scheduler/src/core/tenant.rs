//! A tenant: its counters, and what of it waits in each flow.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::TenantId;

use super::counter::Counter;
use super::place::{Route, Ticket};

#[derive(Debug, Default)]
pub(super) struct FlowQueue {
    pub(super) counter: Counter,
    pub(super) waiting: BTreeMap<Route, BTreeSet<Ticket>>,
}

/// One tenant.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Its share, percent.
    pub weight: u32,
    /// Input and output tokens settled, ever.
    pub settled: (u64, u64),
    /// Requests waiting.
    pub waiting: usize,
    /// Requests leased.
    pub running: usize,
    pub(super) counter: Counter,
    pub(super) flows: [FlowQueue; 3],
    pub(super) last_left: u64,
}

/// A tenant as a snapshot tells it; field by field: `tenant_counter.avsc`.
#[derive(Debug)]
pub struct Restored {
    pub counter: u64,
    pub turn: u64,
    pub flows: Vec<u64>,
    pub last_left: u64,
    pub settled: (u64, u64),
}

impl Tenant {
    /// What decides when it comes next.
    pub fn value(&self) -> u64 {
        self.counter.value()
    }

    /// For the snapshot.
    pub fn to_restore(&self) -> Restored {
        Restored {
            counter: self.counter.settled(),
            turn: self.counter.turn,
            flows: self.flows.iter().map(|flow| flow.counter.settled()).collect(),
            last_left: self.last_left,
            settled: self.settled,
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
