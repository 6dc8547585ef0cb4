//! Who comes next (`pick`): hierarchical virtual token counters (VTC, Sheng et al. 2024).
//!
//! Between tenants the counters are charged with actual tokens, so a wrong prediction can cost latency, never fairness.
//! Inside a tenant its short lane, its long lane and its batch class share likewise, each with a counter of its own.
//! A tenant of which nothing waited for a model is lifted there to the least that was served to those of which something does: being
//! away earns no claim, and waiting for a model that no live worker runs, or for another model, is being away.
//!
//! Invariant: `orders` hold exactly the tenants of which something waits on an open route, each under its present counter, and
//! `routes` counts every ticket that waits under its route.

mod counter;
mod key;
mod order;
mod orders;
mod pick;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use relay_schemas::{ModelCounter, SchedulerSnapshot, TenantId};

pub use counter::{Charge, MILLI, W_IN, W_OUT, cost};
pub use key::{Arrival, Flow, QueueKey, Route, TenantIx, Ticket};
pub use tenant::Tenant;

use crate::config::{Config, Fairness};
use counter::Counter;
use orders::Orders;

/// What waits on a route.
#[derive(Debug)]
struct Waiting {
    count: usize,
    /// Whether a live worker takes it, now or when a slot is free.
    open: bool,
}

/// All that waits, in order of who comes next.
#[derive(Debug)]
pub struct Queues {
    fairness: Fairness,
    weights: BTreeMap<String, u32>,
    flow_weights: [u32; 3],
    most_tenants: usize,
    tenants: BTreeMap<TenantIx, Tenant>,
    index: HashMap<TenantId, TenantIx>,
    orders: Orders,
    routes: BTreeMap<Route, Waiting>,
    /// Of which nothing is picked any more.
    held_flow: Option<Flow>,
    tenants_waiting: usize,
    turns: u64,
    next_ix: TenantIx,
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
            orders: Orders::default(),
            routes: BTreeMap::new(),
            held_flow: None,
            tenants_waiting: 0,
            turns: 0,
            next_ix: 0,
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
            .filter(|(_, t)| t.held == 0 && t.counter.value() == t.counter.settled());
        let least = idle
            .min_by_key(|(ix, t)| (t.counter.value(), **ix))
            .map(|(ix, _)| *ix);
        if let Some(tenant) = least.and_then(|ix| self.tenants.remove(&ix)) {
            self.index.remove(&tenant.id);
        }
    }

    /// One request more or less of a tenant is held: as long as one is, the tenant is not forgotten.
    pub fn hold(&mut self, ix: TenantIx, more: bool) {
        let held = &mut self.get_mut(ix).held;
        *held = if more { *held + 1 } else { held.saturating_sub(1) };
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

    /// Puts a request in its place; older tickets come first. `open`: a live worker takes its route.
    pub fn push(&mut self, key: &QueueKey, ticket: Ticket, arrival: Arrival, open: bool) {
        let tenant = self.get_mut(key.tenant);
        let flow = &mut tenant.flows[key.flow as usize];
        if flow.waiting.entry(key.route.clone()).or_default().insert(ticket) {
            tenant.waiting += 1;
            self.tenants_waiting += usize::from(self.tenants[&key.tenant].waiting == 1);
            let waiting = self.routes.entry(key.route.clone());
            waiting.or_insert(Waiting { count: 0, open }).count += 1;
        }
        let floors = (arrival == Arrival::New).then(|| self.orders.floors(key.route.models.iter()));
        self.look_at(key.tenant, floors.as_ref());
        self.orders.raise();
    }

    /// Looks which routes are open: `is_open` where a live worker takes them; it is told whether they were. What was not dispatchable
    /// before counts as away.
    pub fn look(&mut self, is_open: impl Fn(&Route, bool) -> bool) {
        let mut changed = false;
        for (route, waiting) in &mut self.routes {
            let open = is_open(route, waiting.open);
            changed |= waiting.open != open;
            waiting.open = open;
        }
        if !changed {
            return;
        }
        let waiting = self.tenants.iter().filter(|(_, tenant)| tenant.waiting > 0);
        let waiting: Vec<TenantIx> = waiting.map(|(ix, _)| *ix).collect();
        // Who opens together is lifted to what was served before, not to one another.
        let models = self.routes.keys().flat_map(|route| route.models.iter());
        let floors = self.orders.floors(models);
        for ix in waiting {
            self.look_at(ix, Some(&floors));
        }
        self.orders.raise();
    }

    /// Gives a tenant its place in the orders of the models that it waits for. Where it comes to wait for one, it is lifted to
    /// that one's of `floors`, if there are any.
    fn look_at(&mut self, ix: TenantIx, floors: Option<&BTreeMap<String, u64>>) {
        let (fairness, routes) = (self.fairness, &self.routes);
        let is_open = |route: &Route| routes.get(route).is_some_and(|waiting| waiting.open);
        let Some(tenant) = self.tenants.get_mut(&ix) else {
            return;
        };
        tenant.look(is_open, floors.is_some());
        let models = tenant.models(is_open);
        self.orders.keep_only(ix, &models);
        for model in &models {
            if let Some(floor) = floors.and_then(|floors| floors.get(model))
                && !self.orders.holds(ix, model)
            {
                tenant.lift(model, *floor);
            }
            let (rank, served) = Self::standing(fairness, tenant, model);
            self.orders.place(ix, model, rank, served);
        }
    }

    /// What decides when a tenant comes next at a model, and what counts as served to it there.
    fn standing(fairness: Fairness, tenant: &Tenant, model: &str) -> (u64, u64) {
        let lifted = tenant.lifted(model);
        let rank = match fairness {
            Fairness::Vtc => tenant.counter.value() + lifted,
            Fairness::RoundRobin => tenant.counter.turn,
        };
        (rank, tenant.counter.served() + lifted)
    }

    /// Takes a request out, wherever it stands.
    pub fn remove(&mut self, key: &QueueKey, ticket: Ticket) {
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
        tenant.waiting -= 1;
        self.tenants_waiting -= usize::from(self.tenants[&key.tenant].waiting == 0);
        if let Some(waiting) = self.routes.get_mut(&key.route) {
            waiting.count -= 1;
            if waiting.count == 0 {
                self.routes.remove(&key.route);
            }
        }
        self.look_at(key.tenant, None);
        self.orders.raise();
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

    /// Notes that this flow's turn has been.
    pub fn served(&mut self, ix: TenantIx, flow: Flow) {
        self.turns += 1;
        let turn = self.turns;
        self.change(ix, |tenant| {
            tenant.counter.turn = turn;
            tenant.flows[flow as usize].counter.turn = turn;
        });
    }

    /// A run is charged `after` instead of `before`, for the time being.
    pub fn recharge(&mut self, ix: TenantIx, flow: Flow, (before, after): (Charge, Charge)) {
        self.exchange(ix, flow, (before, after), 0);
    }

    /// Turns what a run was `charged` into its `actual` cost, for good.
    pub fn settle(&mut self, ix: TenantIx, flow: Flow, charged: Charge, actual: u64) {
        self.exchange(ix, flow, (charged, Charge::default()), actual);
    }

    fn exchange(&mut self, ix: TenantIx, flow: Flow, run: (Charge, Charge), actual: u64) {
        let share = self.flow_weights[flow as usize];
        self.change(ix, |tenant| {
            tenant.counter.charge(run, actual, tenant.weight);
            tenant.flows[flow as usize].counter.charge(run, actual, share);
        });
    }

    /// Charges the cost of a run that was charged nothing, for good.
    pub fn charge(&mut self, ix: TenantIx, flow: Flow, cost: u64) {
        self.charges += 1;
        self.settle(ix, flow, Charge::default(), cost);
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

    /// Changes a tenant's counters and keeps the order.
    fn change(&mut self, ix: TenantIx, change: impl FnOnce(&mut Tenant)) {
        let fairness = self.fairness;
        let tenant = self.get_mut(ix);
        change(tenant);
        tenant.raise_floor();
        let tenant = &self.tenants[&ix];
        self.orders
            .replace(ix, |model| Self::standing(fairness, tenant, model));
    }

    /// Between the tenants that wait for the same model, which a live worker runs: greatest counter less the least, thousandths of a
    /// weighted token; of all models the most.
    pub fn gap(&self) -> u64 {
        let gaps = self.orders.iter().map(|(model, order)| {
            let tenants = order.iter().map(|ix| &self.tenants[&ix]);
            let values = tenants.map(|tenant| tenant.counter.value() + tenant.lifted(model));
            let (least, most) = values.fold((u64::MAX, 0), |(least, most), value| {
                (least.min(value), most.max(value))
            });
            most.saturating_sub(least)
        });
        gaps.max().unwrap_or(0)
    }

    /// How many tenants wait.
    pub fn tenants_waiting(&self) -> usize {
        self.tenants_waiting
    }

    /// What a tenant of which nothing waited is lifted to.
    pub fn floor(&self) -> u64 {
        self.orders.floor()
    }

    /// What whoever comes to a model is lifted to, where others wait for it.
    pub fn floors(&self) -> Vec<ModelCounter> {
        tenant::by_model(&self.orders.by_model())
    }

    /// Takes the counters of a snapshot in.
    pub fn restore(&mut self, snapshot: &SchedulerSnapshot) {
        for counter in &snapshot.tenants {
            let ix = self.tenant(&counter.tenant);
            self.turns = self.turns.max(counter.turn as u64);
            self.get_mut(ix).restore(counter);
        }
        self.orders.restore(snapshot.last_left as u64);
        for floor in &snapshot.floors {
            self.orders.restore_of(&floor.model, floor.value as u64);
        }
        self.settled = (snapshot.prompt_tokens as u64, snapshot.completion_tokens as u64);
    }
}
