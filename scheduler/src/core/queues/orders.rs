//! An order of tenants for each model: who waits for one competes for its turns, and for no other's.
//!
//! A tenant has one counter, as it pays for all that it uses; but how far it was lifted is told by model. Else whoever waits for a
//! model that is slow, or full of runs that stand still, would hold the floor down for those who come to another; and whoever was
//! lifted at a fast one would be behind for good at a slow one.
//!
//! Invariant: a tenant stands in the orders of exactly those models that a route names on which something of it waits and that is open.

use std::collections::{BTreeMap, BTreeSet};

use super::key::TenantIx;
use super::order::Order;

/// See the module. Bounded by the models that live workers run, or ran.
#[derive(Debug, Default)]
pub(super) struct Orders {
    by_model: BTreeMap<String, Order>,
    /// The floor of a snapshot.
    restored: u64,
}

impl Orders {
    /// The greatest floor of all: what a model of which nothing waits lifts to.
    pub fn floor(&self) -> u64 {
        let floors = self.by_model.values().map(Order::floor);
        floors.fold(self.restored, u64::max)
    }

    /// What whoever comes to a model is lifted to: the least that was served to those who wait for it.
    pub fn floor_of(&self, model: &str) -> u64 {
        match self.by_model.get(model) {
            Some(order) if !order.is_empty() => order.floor(),
            Some(_) | None => self.floor(),
        }
    }

    /// The floors of all models, before those of `models` that have none get one.
    pub fn floors<'a>(&self, models: impl Iterator<Item = &'a String>) -> BTreeMap<String, u64> {
        models
            .map(|model| (model.clone(), self.floor_of(model)))
            .collect()
    }

    /// Whether a tenant waits for a model.
    pub fn holds(&self, ix: TenantIx, model: &str) -> bool {
        self.by_model.get(model).is_some_and(|order| order.holds(ix))
    }

    /// A tenant waits for these models, and for no others.
    pub fn keep_only(&mut self, ix: TenantIx, models: &BTreeSet<String>) {
        for (model, order) in &mut self.by_model {
            if !models.contains(model) {
                order.remove(ix);
            }
        }
    }

    /// It stands there, by `rank`, and counts as served so much.
    pub fn place(&mut self, ix: TenantIx, model: &str, rank: u64, served: u64) {
        if let Some(order) = self.by_model.get_mut(model) {
            return order.place(ix, rank, served);
        }
        self.by_model
            .entry(model.to_owned())
            .or_default()
            .place(ix, rank, served);
    }

    /// Places it anew wherever it stands.
    pub fn replace(&mut self, ix: TenantIx, place: impl Fn(&str) -> (u64, u64)) {
        for (model, order) in &mut self.by_model {
            if order.holds(ix) {
                let (rank, served) = place(model);
                order.place(ix, rank, served);
                order.raise();
            }
        }
    }

    /// Raises the floors, once everybody has its place.
    pub fn raise(&mut self) {
        self.by_model.values_mut().for_each(Order::raise);
    }

    /// The floor of a snapshot.
    pub fn restore(&mut self, floor: u64) {
        self.restored = floor;
    }

    /// That of one model.
    pub fn restore_of(&mut self, model: &str, floor: u64) {
        self.by_model.insert(model.to_owned(), Order::above(floor));
    }

    /// The floor of each model.
    pub fn by_model(&self) -> BTreeMap<String, u64> {
        let floors = self.by_model.iter();
        floors
            .map(|(model, order)| (model.clone(), order.floor()))
            .collect()
    }

    /// Each model, and its tenants in order of who comes next.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Order)> {
        let waited_for = self.by_model.iter().filter(|(_, order)| !order.is_empty());
        waited_for.map(|(model, order)| (model.as_str(), order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(models: [&str; N]) -> BTreeSet<String> {
        models.map(str::to_owned).into()
    }

    #[test]
    fn who_comes_to_a_model_is_lifted_to_who_waits_for_it_or_else_to_the_greatest_floor() {
        let mut orders = Orders::default();
        orders.place(1, "m", 7, 7);
        orders.raise();
        orders.keep_only(1, &names([]));
        orders.place(2, "n", 20, 20);
        orders.raise();
        let floors = |orders: &Orders| ["m", "n", "o"].map(|model| orders.floor_of(model));
        assert_eq!(floors(&orders), [20, 20, 20], "nobody waits for `m`");
        orders.place(3, "m", 9, 9);
        orders.raise();
        assert_eq!(floors(&orders), [9, 20, 20]);
        let both = orders.floors(names(["m", "n"]).iter());
        assert_eq!(both, BTreeMap::from([("m".to_owned(), 9), ("n".to_owned(), 20)]));
        orders.restore(50);
        assert_eq!((orders.floor(), floors(&orders)), (50, [9, 20, 50]));
    }

    #[test]
    fn a_tenant_stands_at_the_models_that_it_waits_for_and_at_no_others() {
        let mut orders = Orders::default();
        for model in ["m", "n"] {
            orders.place(1, model, 0, 0);
        }
        orders.place(2, "n", 1, 1);
        orders.keep_only(1, &names(["m"]));
        let holds = |orders: &Orders, ix| ["m", "n", "o"].map(|model| orders.holds(ix, model));
        assert_eq!(holds(&orders, 1), [true, false, false]);
        assert_eq!(holds(&orders, 2), [false, true, false]);
        orders.replace(1, |_| (3, 3));
        assert_eq!(holds(&orders, 1), [true, false, false], "only where it stands");
        orders.keep_only(1, &names([]));
        let waited_for: Vec<&str> = orders.iter().map(|(model, _)| model).collect();
        assert_eq!(waited_for, ["n"]);
    }
}
