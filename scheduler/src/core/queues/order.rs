//! The tenants of which something waits for one model, in order of who comes next, and what a newcomer is lifted to.
//!
//! Invariant: a tenant stands here under its newest rank, or not at all. The floor is the least that was served to any of
//! those who stand here, since it was last raised; it never falls, so that who leaves takes nothing of it along.

use std::collections::{BTreeMap, BTreeSet};

use super::key::TenantIx;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Order {
    by_rank: BTreeSet<(u64, TenantIx)>,
    by_served: BTreeSet<(u64, TenantIx)>,
    /// Rank and service of each.
    places: BTreeMap<TenantIx, (u64, u64)>,
    floor: u64,
}

impl Order {
    /// Nobody stands here, and whoever comes counts as served so much at least.
    pub fn above(floor: u64) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// A tenant stands here, by `rank`, and was served so much.
    pub fn place(&mut self, ix: TenantIx, rank: u64, served: u64) {
        if self.places.get(&ix) == Some(&(rank, served)) {
            return;
        }
        self.remove(ix);
        self.places.insert(ix, (rank, served));
        self.by_rank.insert((rank, ix));
        self.by_served.insert((served, ix));
    }

    /// A tenant stands here no longer.
    pub fn remove(&mut self, ix: TenantIx) {
        if let Some((rank, served)) = self.places.remove(&ix) {
            self.by_rank.remove(&(rank, ix));
            self.by_served.remove(&(served, ix));
        }
    }

    /// Raises the floor, once everybody has its place.
    pub fn raise(&mut self) {
        let least = self.by_served.first().map_or(0, |(served, _)| *served);
        self.floor = self.floor.max(least);
    }

    /// What was served to whoever comes in at least counts as served to it.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether no tenant stands here.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a tenant stands here.
    pub fn holds(&self, ix: TenantIx) -> bool {
        self.places.contains_key(&ix)
    }

    /// In order of who comes next.
    pub fn iter(&self) -> impl Iterator<Item = TenantIx> {
        self.by_rank.iter().map(|(_, ix)| *ix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_least_service_of_those_who_stand_here_and_never_falls() {
        let mut order = Order::default();
        order.place(1, 9, 5);
        order.place(2, 3, 7);
        order.raise();
        assert_eq!((order.iter().collect::<Vec<_>>(), order.floor()), (vec![2, 1], 5));
        order.place(1, 2, 6);
        order.raise();
        assert_eq!((order.iter().collect::<Vec<_>>(), order.floor()), (vec![1, 2], 6));
        order.remove(1);
        order.raise();
        assert_eq!((order.holds(1), order.floor()), (false, 7));
        order.remove(2);
        order.raise();
        order.place(3, 0, 1);
        order.raise();
        assert_eq!(order.floor(), 7);
    }
}
