//! How much tenants may hold of one thing: in all, and each of them. What is over a limit is refused, never queued.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::TenantId;

/// The most that may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Of all tenants together.
    pub all: usize,
    /// Of each tenant.
    pub of_tenant: usize,
}

/// Counts what is held of one thing: places in flight, or bytes. Has an entry only for tenants that hold some, so it is bounded by
/// its own limit.
#[derive(Debug)]
pub struct Limits {
    most: Most,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    tenants: HashMap<TenantId, usize>,
}

impl Held {
    fn of(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// What is held of a tenant's by one permit changes.
    fn change(&mut self, tenant: &TenantId, from: usize, to: usize) {
        self.all = self.all - from + to;
        match self.tenants.get_mut(tenant) {
            None => {
                self.tenants.insert(tenant.clone(), to);
            }
            Some(has) => {
                *has = *has - from + to;
                if *has == 0 {
                    self.tenants.remove(tenant);
                }
            }
        }
    }
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The tenant's own.
    Tenant,
    /// The one for all.
    All,
}

/// What a tenant holds; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<Limits>,
    tenant: TenantId,
    amount: usize,
}

impl Limits {
    /// Allows so much.
    pub fn new(most: Most) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::default(),
        })
    }

    /// `amount` for `tenant`, if there is as much left.
    pub fn take(self: &Arc<Self>, tenant: &TenantId, amount: usize) -> Result<Permit, Full> {
        let mut permit = self.nothing(tenant);
        permit.grow(amount)?;
        Ok(permit)
    }

    /// Nothing yet, for `tenant`.
    pub fn nothing(self: &Arc<Self>, tenant: &TenantId) -> Permit {
        Permit {
            limits: Arc::clone(self),
            tenant: tenant.clone(),
            amount: 0,
        }
    }
}

impl Permit {
    /// How much it is.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Whether its tenant could take more.
    pub fn has_room(&self) -> bool {
        let Limits { most, held } = &*self.limits;
        let held = held.lock();
        held.of(&self.tenant) < most.of_tenant && held.all < most.all
    }

    /// Is so much from now on, whether there is as much left or not: it is there already.
    pub fn set(&mut self, amount: usize) {
        if amount != self.amount {
            self.limits.held.lock().change(&self.tenant, self.amount, amount);
            self.amount = amount;
        }
    }

    /// Takes `more`, if there is as much left.
    pub fn grow(&mut self, more: usize) -> Result<(), Full> {
        if more == 0 {
            return Ok(());
        }
        let Limits { most, held } = &*self.limits;
        let mut held = held.lock();
        let has = held.of(&self.tenant).saturating_add(more);
        if has > most.of_tenant {
            return Err(Full::Tenant);
        }
        if held.all.saturating_add(more) > most.all {
            return Err(Full::All);
        }
        held.change(&self.tenant, self.amount, self.amount + more);
        self.amount += more;
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use super::*;

    fn limits() -> Arc<Limits> {
        Limits::new(Most { all: 3, of_tenant: 2 })
    }

    #[test]
    fn a_tenant_cannot_take_more_than_its_share_and_all_not_more_than_there_is() {
        let limits = limits();
        let (hog, other) = (TenantId::new("hog"), TenantId::new("other"));
        let first = limits.take(&hog, 1).unwrap();
        let _second = limits.take(&hog, 1).unwrap();
        assert_eq!(limits.take(&hog, 1).unwrap_err(), Full::Tenant);
        let _third = limits.take(&other, 1).unwrap();
        assert_eq!(limits.take(&other, 1).unwrap_err(), Full::All);
        drop(first);
        assert!(limits.take(&other, 1).is_ok());
    }

    #[test]
    fn what_grows_is_given_back_whole_and_what_does_not_fit_changes_nothing() {
        let limits = limits();
        let (hog, other) = (TenantId::new("hog"), TenantId::new("other"));
        let mut held = limits.take(&hog, 0).unwrap();
        assert_eq!((held.grow(2), held.grow(1)), (Ok(()), Err(Full::Tenant)));
        assert_eq!(
            (held.amount(), limits.take(&other, 2).unwrap_err()),
            (2, Full::All)
        );
        drop(held);
        assert!(limits.take(&other, 2).is_ok());
    }

    #[test]
    fn what_is_there_already_counts_also_beyond_the_limit() {
        let limits = limits();
        let (hog, other) = (TenantId::new("hog"), TenantId::new("other"));
        let mut held = limits.take(&hog, 0).unwrap();
        held.set(5);
        assert!(!held.has_room() && limits.take(&other, 1).is_err());
        held.set(1);
        assert!(held.has_room() && limits.take(&other, 2).is_ok());
        held.set(2);
        assert!(!held.has_room(), "the tenant's own limit");
        held.set(0);
        assert!(limits.held.lock().tenants.is_empty());
    }

    #[test]
    fn nothing_is_remembered_of_a_tenant_that_holds_nothing() {
        let limits = limits();
        let empty = limits.take(&TenantId::new("empty"), 0).unwrap();
        drop(limits.take(&TenantId::new("gone"), 1).unwrap());
        assert!(limits.held.lock().tenants.is_empty());
        assert_eq!(limits.held.lock().all, 0);
        drop(empty);
    }
}
