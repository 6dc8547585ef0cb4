//! Which request comes next.

use super::{Flow, QueueKey, Queues, Route, TenantIx, Ticket};

impl Queues {
    /// The next request: of each model the least tenant, of these the least, then its least flow, then the oldest. `can` holds
    /// where what waits on a route would begin with that model now: a tenant has its turn where it stands at the model that it uses up.
    pub fn pick(&self, mut can: impl FnMut(&Route, &str) -> bool) -> Option<(QueueKey, Ticket)> {
        let next = self.orders.iter().filter_map(|(model, order)| {
            let mut can = |route: &Route| route.models.iter().any(|it| it == model) && can(route, model);
            let (key, ticket) = order.iter().find_map(|ix| self.pick_of(ix, &mut can))?;
            let standing = Self::standing(self.fairness, &self.tenants[&key.tenant], model);
            Some((standing, key, ticket))
        });
        let next = next.min_by_key(|((rank, _), key, _)| (*rank, key.tenant));
        next.map(|(_, key, ticket)| (key, ticket))
    }

    /// Nothing of this flow is picked from now on.
    pub fn hold_flow(&mut self, flow: Flow) {
        self.held_flow = Some(flow);
    }

    /// The next request of a tenant for which `can` holds.
    fn pick_of(&self, ix: TenantIx, mut can: impl FnMut(&Route) -> bool) -> Option<(QueueKey, Ticket)> {
        let tenant = &self.tenants[&ix];
        let rank = |flow: Flow| Self::rank(self.fairness, &tenant.flows[flow as usize].counter);
        let mut flows = Flow::ALL.map(|flow| (rank(flow), flow));
        flows.sort_unstable();
        let mut flows = flows
            .into_iter()
            .filter(|(_, flow)| self.held_flow != Some(*flow));
        flows.find_map(|(_, flow)| {
            let waiting = tenant.flows[flow as usize].waiting.iter();
            let heads = waiting.filter_map(|(route, tickets)| Some((*tickets.first()?, route)));
            let (ticket, route) = heads
                .filter(|(_, route)| can(route))
                .min_by_key(|(ticket, _)| *ticket)?;
            let key = QueueKey {
                tenant: ix,
                flow,
                route: route.clone(),
            };
            Some((key, ticket))
        })
    }
}
