//! A tenant: its counters, and what of it waits in each flow.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::{ModelCounter, TenantCounter, TenantId};

use super::counter::Counter;
use super::key::{Route, Ticket};

#[derive(Debug, Default)]
pub(super) struct FlowQueue {
    pub(super) counter: Counter,
    pub(super) waiting: BTreeMap<Route, BTreeSet<Ticket>>,
    /// Whether something of it waits that a live worker runs.
    open: bool,
}

/// Counters by model, as a snapshot has them.
pub(super) fn by_model(values: &BTreeMap<String, u64>) -> Vec<ModelCounter> {
    let counter = |(model, value): (&String, &u64)| ModelCounter {
        model: model.clone(),
        value: *value as i64,
    };
    values.iter().map(counter).collect()
}

/// One tenant. Invariant: `waiting` counts the tickets of its flows; `floor` never falls, and is the least that was served to
/// any of its open flows after each change.
#[derive(Debug)]
pub struct Tenant {
    pub(super) id: TenantId,
    /// Its share, percent.
    pub(super) weight: u32,
    /// Input and output tokens settled, ever.
    pub(super) settled: (u64, u64),
    /// Requests that have not ended, whatever they stand in.
    pub(super) held: usize,
    pub(super) waiting: usize,
    pub(super) counter: Counter,
    pub(super) flows: [FlowQueue; 3],
    /// How far it was lifted where it came to wait for a model.
    pub(super) lifts: BTreeMap<String, u64>,
    /// What a flow of which nothing waited is lifted to.
    floor: u64,
}

impl Tenant {
    pub(super) fn new(id: TenantId, weight: u32) -> Self {
        Self {
            id,
            weight,
            settled: (0, 0),
            held: 0,
            waiting: 0,
            counter: Counter::default(),
            flows: Default::default(),
            lifts: BTreeMap::new(),
            floor: 0,
        }
    }

    /// Its name.
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// What decides when it comes next.
    pub fn value(&self) -> u64 {
        self.counter.value() + self.most_lifted()
    }

    /// The farthest that it was lifted.
    fn most_lifted(&self) -> u64 {
        self.lifts.values().copied().max().unwrap_or(0)
    }

    /// How far it was lifted where it waits for a model.
    pub(super) fn lifted(&self, model: &str) -> u64 {
        self.lifts.get(model).copied().unwrap_or(0)
    }

    /// It comes to wait for a model, of whose tenants each was served `floor` at least: who was away has no claim to what it did not use.
    pub(super) fn lift(&mut self, model: &str, floor: u64) {
        let lift = floor.saturating_sub(self.counter.served());
        if lift > self.lifted(model) {
            self.lifts.insert(model.to_owned(), lift);
        }
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
            counter: (self.counter.settled() + self.most_lifted()) as i64,
            turn: self.counter.turn as i64,
            flows: flows.map(|flow| flow.counter.settled() as i64).collect(),
            last_left: self.floor as i64,
            prompt_tokens: self.settled.0 as i64,
            completion_tokens: self.settled.1 as i64,
            settled: Some(self.counter.settled() as i64),
            lifts: by_model(&self.lifts),
        }
    }

    pub(super) fn restore(&mut self, snapshot: &TenantCounter) {
        // A version that knew no models told the farthest lift alone.
        let settled = snapshot.settled.unwrap_or(snapshot.counter);
        self.counter = Counter::restored(settled as u64, snapshot.turn as u64);
        let lifts = snapshot.lifts.iter();
        self.lifts = lifts
            .map(|lift| (lift.model.clone(), lift.value as u64))
            .collect();
        self.settled = (snapshot.prompt_tokens as u64, snapshot.completion_tokens as u64);
        self.floor = snapshot.last_left as u64;
        for (flow, value) in self.flows.iter_mut().zip(&snapshot.flows) {
            flow.counter = Counter::restored(*value as u64, 0);
        }
    }

    /// The models for which something of it waits on an open route.
    pub(super) fn models(&self, is_open: impl Fn(&Route) -> bool) -> BTreeSet<String> {
        let routes = self.flows.iter().flat_map(|flow| flow.waiting.keys());
        let open = routes.filter(|route| is_open(route));
        open.flat_map(|route| route.models.iter().cloned()).collect()
    }

    /// Looks which of its flows are open, by their routes. What opens is lifted where it `lifts`.
    pub(super) fn look(&mut self, is_open: impl Fn(&Route) -> bool, lifts: bool) {
        for flow in &mut self.flows {
            let open = flow.waiting.keys().any(&is_open);
            if open && !flow.open && lifts {
                flow.counter.lift(self.floor);
            }
            flow.open = open;
        }
        self.raise_floor();
    }

    pub(super) fn raise_floor(&mut self) {
        let open = self.flows.iter().filter(|flow| flow.open);
        let least = open.map(|flow| flow.counter.served()).min();
        self.floor = self.floor.max(least.unwrap_or(0));
    }
}
