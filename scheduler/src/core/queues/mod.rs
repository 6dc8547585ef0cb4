//! Who comes next: hierarchical virtual token counters (VTC, Sheng et al. 2024).
//!
//! Between tenants the counters are charged with actual tokens, so a wrong prediction can cost latency, never fairness.
//! Inside a tenant its short lane, its long lane and its batch class share likewise, each with a counter of its own.
//! A tenant that had nothing waiting is lifted to the least counter that waits: being away earns no claim.
//!
//! Invariant: `order` holds exactly the tenants of which something waits, each under its present counter, and `routes` counts
//! every ticket that waits under its route.

mod counter;
mod key;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use relay_schemas::{SchedulerSnapshot, TenantId};

pub use counter::{MILLI, W_IN, W_OUT, cost};
pub use key::{Arrival, Flow, QueueKey, Route, TenantIx, Ticket};
pub use tenant::Tenant;

use crate::config::{Config, Fairness};
use counter::{Counter, units};

/// All that waits, in order of who comes next.
#[derive(Debug)]
pub struct Queues {
    fairness: Fairness,
    weights: BTreeMap<String, u32>,
    flow_weights: [u32; 3],
    most_tenants: usize,
    tenants: BTreeMap<TenantIx, Tenant>,
    index: HashMap<TenantId, TenantIx>,
    order: BTreeSet<(u64, TenantIx)>,
    routes: BTreeMap<Route, usize>,
    turns: u64,
    next_ix: TenantIx,
    /// Counter of the tenant that last had nothing left to wait for.
    last_left: u64,
    /// Input and output tokens settled, ever, forgotten tenants' too.
    settled: (u64, u64),
    /// Charges that no held request shows.
    charges: u64,
}

impl Queues {
    /// Empty queues.
    pub fn new(config: &Config) -> Self {
        Self {
            fairness: config.fairness,
            weights: config.weights.tenants.clone(),
            flow_weights: [config.weights.short, config.weights.long, config.weights.batch],
            most_tenants: config.remembered.tenants.max(1),
            tenants: BTreeMap::new(),
            index: HashMap::new(),
            order: BTreeSet::new(),
            routes: BTreeMap::new(),
            turns: 0,
            next_ix: 0,
            last_left: 0,
            settled: (0, 0),
            charges: 0,
        }
    }

    /// The tenant's number; makes one if it is new.
    pub fn tenant(&mut self, id: &TenantId) -> TenantIx {
        if let Some(ix) = self.index.get(id) {
            return *ix;
        }
        if self.tenants.len() >= self.most_tenants {
            self.forget_one();
        }
        let ix = self.next_ix;
        self.next_ix += 1;
        let weight = self.weights.get(id.as_str()).copied().unwrap_or(100);
        let tenant = Tenant::new(id.clone(), weight);
        self.tenants.insert(ix, tenant);
        self.index.insert(id.clone(), ix);
        ix
    }

    /// Forgets the idle tenant charged least: a lift would wipe its counter out soonest.
    fn forget_one(&mut self) {
        let idle = self
            .tenants
            .iter()
            .filter(|(_, t)| t.waiting == 0 && t.running == 0);
        let least = idle
            .min_by_key(|(ix, t)| (t.counter.value(), **ix))
            .map(|(ix, _)| *ix);
        if let Some(tenant) = least.and_then(|ix| self.tenants.remove(&ix)) {
            self.index.remove(&tenant.id);
        }
    }

    /// A tenant by number.
    pub fn get(&self, ix: TenantIx) -> &Tenant {
        &self.tenants[&ix]
    }

    fn get_mut(&mut self, ix: TenantIx) -> &mut Tenant {
        self.tenants
            .get_mut(&ix)
            .expect("a tenant with requests is never forgotten")
    }

    /// All tenants.
    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.values()
    }

    fn rank(fairness: Fairness, counter: &Counter) -> u64 {
        match fairness {
            Fairness::Vtc => counter.value(),
            Fairness::RoundRobin => counter.turn,
        }
    }

    /// Puts a request in its place; older tickets come first.
    pub fn push(&mut self, key: &QueueKey, ticket: Ticket, arrival: Arrival) {
        let lifts = arrival == Arrival::New;
        let floor = if lifts { self.floor() } else { 0 };
        let fairness = self.fairness;
        let tenant = self.get_mut(key.tenant);
        if tenant.waiting == 0 {
            tenant.counter.lift(floor);
            let rank = Self::rank(fairness, &tenant.counter);
            self.order.insert((rank, key.tenant));
        }
        let tenant = self.get_mut(key.tenant);
        if lifts && tenant.flows[key.flow as usize].waiting.is_empty() {
            let floor = tenant.flow_floor();
            tenant.flows[key.flow as usize].counter.lift(floor);
        }
        let flow = &mut tenant.flows[key.flow as usize];
        if flow.waiting.entry(key.route.clone()).or_default().insert(ticket) {
            tenant.waiting += 1;
            *self.routes.entry(key.route.clone()).or_default() += 1;
        }
    }

    /// The least counter that waits, else that of who waited last.
    fn floor(&self) -> u64 {
        let least = self.order.iter().map(|(_, ix)| self.tenants[ix].counter.value());
        match self.fairness {
            Fairness::Vtc => least.take(1).next(),
            Fairness::RoundRobin => least.min(),
        }
        .unwrap_or(self.last_left)
    }

    /// Takes a request out, wherever it stands.
    pub fn remove(&mut self, key: &QueueKey, ticket: Ticket) {
        let fairness = self.fairness;
        let tenant = self.get_mut(key.tenant);
        let flow = &mut tenant.flows[key.flow as usize];
        let Some(tickets) = flow.waiting.get_mut(&key.route) else {
            return;
        };
        if !tickets.remove(&ticket) {
            return;
        }
        if tickets.is_empty() {
            flow.waiting.remove(&key.route);
        }
        if flow.waiting.is_empty() {
            tenant.last_left = flow.counter.value();
        }
        tenant.waiting -= 1;
        let (left, value, rank) = (
            tenant.waiting == 0,
            tenant.counter.value(),
            Self::rank(fairness, &tenant.counter),
        );
        if left {
            self.last_left = value;
            self.order.remove(&(rank, key.tenant));
        }
        if let Some(count) = self.routes.get_mut(&key.route) {
            *count -= 1;
            if *count == 0 {
                self.routes.remove(&key.route);
            }
        }
    }

    /// Routes on which requests wait.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.keys()
    }

    /// All that waits on a route.
    pub fn waiting_on(&self, route: &Route) -> Vec<Ticket> {
        let flows = self.tenants.values().flat_map(|tenant| &tenant.flows);
        let waiting = flows.filter_map(|flow| flow.waiting.get(route));
        waiting.flatten().copied().collect()
    }

    /// Whether a request waits for which `can` holds.
    pub fn any(&self, mut can: impl FnMut(&Route) -> bool) -> bool {
        self.routes.keys().any(&mut can)
    }

    /// The next request for which `can` holds: least tenant, then its least flow, then the oldest.
    pub fn pick(&self, mut can: impl FnMut(&Route) -> bool) -> Option<(QueueKey, Ticket)> {
        self.order.iter().find_map(|(_, ix)| {
            let tenant = &self.tenants[ix];
            let mut flows = Flow::ALL.map(|flow| {
                (
                    Self::rank(self.fairness, &tenant.flows[flow as usize].counter),
                    flow,
                )
            });
            flows.sort_unstable();
            flows.into_iter().find_map(|(_, flow)| {
                let waiting = tenant.flows[flow as usize].waiting.iter();
                let heads = waiting.filter_map(|(route, tickets)| Some((*tickets.first()?, route)));
                let (ticket, route) = heads
                    .filter(|(_, route)| can(route))
                    .min_by_key(|(ticket, _)| *ticket)?;
                let key = QueueKey {
                    tenant: *ix,
                    flow,
                    route: route.clone(),
                };
                Some((key, ticket))
            })
        })
    }

    /// Notes that this flow's turn has been.
    pub fn served(&mut self, ix: TenantIx, flow: Flow) {
        self.turns += 1;
        let turn = self.turns;
        self.change(ix, |tenant| {
            tenant.counter.turn = turn;
            tenant.flows[flow as usize].counter.turn = turn;
        });
    }

    /// Charges `cost` more for a request that was charged `before`, for the time being.
    pub fn hold(&mut self, ix: TenantIx, flow: Flow, before: u64, more: u64) {
        let share = self.flow_weights[flow as usize];
        self.change(ix, |tenant| {
            let grow = |percent| units(before + more, percent) - units(before, percent);
            tenant.counter.hold(grow(tenant.weight));
            tenant.flows[flow as usize].counter.hold(grow(share));
        });
    }

    /// Turns what a request was `held` for into its `actual` cost, for good.
    pub fn settle(&mut self, ix: TenantIx, flow: Flow, held: u64, actual: u64) {
        let share = self.flow_weights[flow as usize];
        self.change(ix, |tenant| {
            let weight = tenant.weight;
            tenant.counter.settle(units(held, weight), units(actual, weight));
            let flow = &mut tenant.flows[flow as usize];
            flow.counter.settle(units(held, share), units(actual, share));
        });
    }

    /// Charges the cost of a request that is not held, for good.
    pub fn charge(&mut self, ix: TenantIx, flow: Flow, cost: u64) {
        self.charges += 1;
        self.settle(ix, flow, 0, cost);
    }

    /// How often that was done.
    pub fn charges(&self) -> u64 {
        self.charges
    }

    /// Adds to the tokens settled, ever.
    pub fn book(&mut self, ix: TenantIx, prompt_tokens: u64, completion_tokens: u64) {
        let tenant = self.get_mut(ix);
        tenant.settled.0 += prompt_tokens;
        tenant.settled.1 += completion_tokens;
        self.settled.0 += prompt_tokens;
        self.settled.1 += completion_tokens;
    }

    /// Input and output tokens settled, ever, all tenants together.
    pub fn settled(&self) -> (u64, u64) {
        self.settled
    }

    /// One request more or less is leased.
    pub fn running(&mut self, ix: TenantIx, more: bool) {
        let running = &mut self.get_mut(ix).running;
        *running = if more {
            *running + 1
        } else {
            running.saturating_sub(1)
        };
    }

    /// Changes a tenant's counters and keeps the order.
    fn change(&mut self, ix: TenantIx, change: impl FnOnce(&mut Tenant)) {
        let fairness = self.fairness;
        let tenant = self.get_mut(ix);
        let before = Self::rank(fairness, &tenant.counter);
        change(tenant);
        let after = Self::rank(fairness, &tenant.counter);
        let waits = tenant.waiting > 0;
        if waits && before != after {
            self.order.remove(&(before, ix));
            self.order.insert((after, ix));
        }
    }

    /// Between the tenants that wait: greatest counter less the least, thousandths of a weighted token.
    pub fn gap(&self) -> u64 {
        let values = self.order.iter().map(|(_, ix)| self.tenants[ix].counter.value());
        let (least, most) = values.fold((u64::MAX, 0), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        most.saturating_sub(least)
    }

    /// How many tenants wait.
    pub fn tenants_waiting(&self) -> usize {
        self.order.len()
    }

    /// Counter of the tenant that last had nothing left to wait for.
    pub fn last_left(&self) -> u64 {
        self.last_left
    }

    /// Takes the counters of a snapshot in.
    pub fn restore(&mut self, snapshot: &SchedulerSnapshot) {
        for counter in &snapshot.tenants {
            let ix = self.tenant(&counter.tenant);
            self.turns = self.turns.max(counter.turn as u64);
            self.get_mut(ix).restore(counter);
        }
        self.last_left = snapshot.last_left as u64;
        self.settled = (snapshot.prompt_tokens as u64, snapshot.completion_tokens as u64);
    }
}
