//! Bytes of the bodies held, a tenant and all together.
//!
//! Invariant: a tenant of which nothing is held is not listed, and all are the sum of the tenants'.

use std::collections::HashMap;

use crate::core::queues::TenantIx;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    all: usize,
    tenants: HashMap<TenantIx, usize>,
}

impl Bodies {
    /// One more body.
    pub fn add(&mut self, tenant: TenantIx, bytes: usize) {
        self.all += bytes;
        *self.tenants.entry(tenant).or_default() += bytes;
    }

    /// One body less.
    pub fn remove(&mut self, tenant: TenantIx, bytes: usize) {
        self.all -= bytes;
        if let Some(held) = self.tenants.get_mut(&tenant) {
            *held -= bytes;
            if *held == 0 {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// All tenants' together.
    pub fn all(&self) -> usize {
        self.all
    }

    /// One tenant's.
    pub fn of(&self, tenant: TenantIx) -> usize {
        self.tenants.get(&tenant).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_counted_a_tenant_and_together_until_the_last_one_is_gone() {
        let mut bodies = Bodies::default();
        for (tenant, bytes) in [(1, 30), (1, 12), (2, 5)] {
            bodies.add(tenant, bytes);
        }
        let seen = |bodies: &Bodies| (bodies.all(), [1, 2, 3].map(|tenant| bodies.of(tenant)));
        assert_eq!(seen(&bodies), (47, [42, 5, 0]));
        bodies.remove(1, 12);
        assert_eq!(seen(&bodies), (35, [30, 5, 0]));
        bodies.remove(1, 30);
        assert_eq!(seen(&bodies), (5, [0, 5, 0]));
        assert_eq!(bodies.tenants.len(), 1, "nothing is kept of who holds nothing");
    }
}
