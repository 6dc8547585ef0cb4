//! How much may be in flight: in all, and for each tenant. What is over the limit is refused, never queued.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::TenantId;

/// Counts requests between arrival and end. Holds an entry only for tenants that have one, so it is bounded by the limit.
#[derive(Debug)]
pub struct Limits {
    most: usize,
    most_per_tenant: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    tenants: HashMap<TenantId, usize>,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The tenant's own.
    Tenant,
    /// The one for all.
    All,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<Limits>,
    tenant: TenantId,
}

impl Limits {
    /// Allows `most` in all and `most_per_tenant` of each tenant.
    pub fn new(most: usize, most_per_tenant: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_tenant,
            counts: Mutex::default(),
        })
    }

    /// A place for `tenant`, if there is one.
    pub fn enter(self: &Arc<Self>, tenant: &TenantId) -> Result<Permit, Full> {
        let mut counts = self.counts.lock();
        if counts
            .tenants
            .get(tenant)
            .is_some_and(|held| *held >= self.most_per_tenant)
        {
            return Err(Full::Tenant);
        }
        if counts.all >= self.most {
            return Err(Full::All);
        }
        counts.all += 1;
        match counts.tenants.get_mut(tenant) {
            Some(held) => *held += 1,
            None => {
                counts.tenants.insert(tenant.clone(), 1);
            }
        }
        Ok(Permit {
            limits: Arc::clone(self),
            tenant: tenant.clone(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock();
        counts.all -= 1;
        if let Some(held) = counts.tenants.get_mut(&self.tenant) {
            *held -= 1;
            if *held == 0 {
                counts.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use super::*;

    #[test]
    fn a_tenant_cannot_take_more_than_its_share_and_all_not_more_than_there_is() {
        let limits = Limits::new(3, 2);
        let (hog, other) = (TenantId::new("hog"), TenantId::new("other"));
        let first = limits.enter(&hog).unwrap();
        let _second = limits.enter(&hog).unwrap();
        assert_eq!(limits.enter(&hog).unwrap_err(), Full::Tenant);
        let _third = limits.enter(&other).unwrap();
        assert_eq!(limits.enter(&other).unwrap_err(), Full::All);
        drop(first);
        assert!(limits.enter(&other).is_ok());
    }

    #[test]
    fn nothing_is_remembered_of_a_tenant_that_has_nothing_in_flight() {
        let limits = Limits::new(3, 2);
        drop(limits.enter(&TenantId::new("gone")).unwrap());
        assert!(limits.counts.lock().tenants.is_empty());
        assert_eq!(limits.counts.lock().all, 0);
    }
}
