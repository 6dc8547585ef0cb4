//! How much tenants may hold of one thing: in all, and each of them. What is over a limit is refused, never queued.
//!
//! What a tenant only announces takes nothing but its own room: whoever announces much and sends nothing keeps nobody out. And of bytes
//! that are there a tenant gets no more than it leaves free, so that it takes more tenants than there are to leave nothing to the next.

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
    /// What is there, of all tenants.
    all: usize,
    tenants: HashMap<TenantId, Amount>,
}

/// What is held, of a tenant or by one permit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    /// Of the tenant's room; at least what is there.
    reserved: usize,
    /// Of everybody's.
    there: usize,
}

impl Amount {
    fn of(there: usize) -> Self {
        Self {
            reserved: there,
            there,
        }
    }

    fn change(&mut self, from: Self, to: Self) {
        self.reserved = self.reserved - from.reserved + to.reserved;
        self.there = self.there - from.there + to.there;
    }
}

impl Held {
    fn of(&self, tenant: &TenantId) -> Amount {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// What is held of a tenant's by one permit changes.
    fn change(&mut self, tenant: &TenantId, from: Amount, to: Amount) {
        self.all = self.all - from.there + to.there;
        match self.tenants.get_mut(tenant) {
            None => {
                self.tenants.insert(tenant.clone(), to);
            }
            Some(has) => {
                has.change(from, to);
                if *has == Amount::default() {
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
    amount: Amount,
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
        permit.grow(Amount::of(amount), false)?;
        Ok(permit)
    }

    /// Keeps `amount` of the tenant's own room for what is to come.
    pub fn announce(self: &Arc<Self>, tenant: &TenantId, amount: usize) -> Result<Permit, Full> {
        let mut permit = self.nothing(tenant);
        let announced = Amount {
            reserved: amount,
            there: 0,
        };
        permit.grow(announced, false)?;
        Ok(permit)
    }

    /// Nothing yet, for `tenant`.
    pub fn nothing(self: &Arc<Self>, tenant: &TenantId) -> Permit {
        Permit {
            limits: Arc::clone(self),
            tenant: tenant.clone(),
            amount: Amount::default(),
        }
    }
}

impl Permit {
    /// Whether its tenant could take more.
    pub fn has_room(&self) -> bool {
        let Limits { most, held } = &*self.limits;
        let held = held.lock();
        let own = held.of(&self.tenant);
        own.reserved < most.of_tenant && own.there < most.all.saturating_sub(held.all)
    }

    /// Is so much from now on, whether there is as much left or not: it is there already.
    pub fn set(&mut self, amount: usize) {
        let amount = Amount::of(amount);
        if amount != self.amount {
            self.limits.held.lock().change(&self.tenant, self.amount, amount);
            self.amount = amount;
        }
    }

    /// So much is there by now, if there is as much left. A tenant gets no more than it leaves free, but for one thing at a time.
    pub fn arrive(&mut self, there: usize) -> Result<(), Full> {
        let reserved = there.max(self.amount.reserved);
        self.grow(Amount { reserved, there }, true)
    }

    fn grow(&mut self, to: Amount, fairly: bool) -> Result<(), Full> {
        let Limits { most, held } = &*self.limits;
        let mut held = held.lock();
        let (own, free) = (held.of(&self.tenant), most.all.saturating_sub(held.all));
        let reserved = to.reserved.saturating_sub(self.amount.reserved);
        if reserved > 0 && reserved > most.of_tenant.saturating_sub(own.reserved) {
            return Err(Full::Tenant);
        }
        let there = to.there.saturating_sub(self.amount.there);
        let has_others = own.there > self.amount.there;
        if there > free || (there > 0 && fairly && has_others && own.there >= free) {
            return Err(Full::All);
        }
        if to != self.amount {
            held.change(&self.tenant, self.amount, to);
            self.amount = to;
        }
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
        let mut held = limits.nothing(&hog);
        assert_eq!((held.arrive(2), held.arrive(3)), (Ok(()), Err(Full::Tenant)));
        assert_eq!(held.amount, Amount::of(2));
        assert_eq!(limits.take(&other, 2).unwrap_err(), Full::All);
        drop(held);
        assert!(limits.take(&other, 2).is_ok());
    }

    #[test]
    fn what_tenants_only_announce_keeps_nobody_else_out() {
        let limits = Limits::new(Most {
            all: 512,
            of_tenant: 64,
        });
        let tenants: Vec<TenantId> = (0..8).map(|nth| TenantId::new(format!("hog-{nth}"))).collect();
        let mut announced: Vec<Permit> = Vec::new();
        for tenant in &tenants {
            announced.extend((0..4).map(|_| limits.announce(tenant, 16).unwrap()));
            assert_eq!(limits.announce(tenant, 1).unwrap_err(), Full::Tenant);
        }
        let mut light = limits.announce(&TenantId::new("light"), 60).unwrap();
        assert_eq!(light.arrive(60), Ok(()));
        drop(announced);
        drop(light);
        assert_eq!(limits.held.lock().all, 0);
        assert!(limits.held.lock().tenants.is_empty());
    }

    #[test]
    fn what_tenants_send_leaves_room_for_the_next_one_and_a_single_thing_always_fits() {
        let limits = Limits::new(Most {
            all: 512,
            of_tenant: 64,
        });
        let mut sent = Vec::new();
        for nth in 0..12 {
            let tenant = TenantId::new(format!("hog-{nth}"));
            while let Ok(mut body) = limits.announce(&tenant, 1) {
                if body.arrive(1).is_err() {
                    break;
                }
                sent.push(body);
            }
        }
        assert!(sent.len() > 500, "{}", sent.len());
        let next = limits.nothing(&TenantId::new("light")).arrive(1);
        assert_eq!(next, Ok(()));
        drop(sent);
        let alone = Limits::new(Most {
            all: 64,
            of_tenant: 64,
        });
        let mut body = alone.announce(&TenantId::new("one"), 64).unwrap();
        assert_eq!((body.arrive(40), body.arrive(64)), (Ok(()), Ok(())));
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
