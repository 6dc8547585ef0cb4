//! Which idempotency keys are in use here, and for which body. Looked at and taken in one step: of two bodies that come under one
//! key at once, one gets on. Ingresses tell each other what they hold (`cluster::peers`), and the record of the one that won decides.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::{KeyAnswer, RequestId};

/// The keys in use. Whoever holds one has a place in flight, so the limits of those bound it.
#[derive(Debug, Default)]
pub struct Keys(Mutex<HashMap<RequestId, InUse>>);

#[derive(Debug)]
struct InUse {
    request_hash: String,
    /// One of them was let in.
    accepted: bool,
    holders: usize,
}

/// A key, held for a body until it is dropped.
#[derive(Debug)]
pub struct HeldKey {
    keys: Arc<Keys>,
    key: RequestId,
}

impl Keys {
    /// Holds a key, named by the first id under it, for the body of that hash; `None` while another body has it.
    pub fn hold(self: &Arc<Self>, key: &RequestId, request_hash: &str) -> Option<HeldKey> {
        let mut keys = self.0.lock();
        match keys.entry(key.clone()) {
            Entry::Occupied(held) if held.get().request_hash != request_hash => return None,
            Entry::Occupied(mut held) => held.get_mut().holders += 1,
            Entry::Vacant(free) => {
                free.insert(InUse {
                    request_hash: request_hash.to_owned(),
                    accepted: false,
                    holders: 1,
                });
            }
        }
        Some(HeldKey {
            keys: Arc::clone(self),
            key: key.clone(),
        })
    }

    /// What another ingress is told of a key.
    pub fn answer(&self, key: &RequestId) -> KeyAnswer {
        let keys = self.0.lock();
        let held = keys.get(key);
        KeyAnswer {
            request_hash: held.map(|held| held.request_hash.clone()),
            accepted: held.is_some_and(|held| held.accepted),
        }
    }
}

impl HeldKey {
    /// Its request is let in: from now on other bodies give way to it.
    pub fn accept(&self) {
        if let Some(held) = self.keys.0.lock().get_mut(&self.key) {
            held.accepted = true;
        }
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        let mut keys = self.keys.0.lock();
        if let Entry::Occupied(mut held) = keys.entry(self.key.clone()) {
            held.get_mut().holders -= 1;
            if held.get().holders == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_bodys_until_the_last_that_holds_it_is_gone() {
        let keys = Arc::new(Keys::default());
        let key = RequestId::new("k");
        let first = keys.hold(&key, "one");
        let second = keys.hold(&key, "one");
        assert!(first.is_some() && second.is_some(), "a repeat joins");
        assert!(keys.hold(&key, "two").is_none());
        assert!(keys.hold(&RequestId::new("other"), "two").is_some());
        let told = |keys: &Keys| keys.answer(&key);
        assert_eq!(
            (told(&keys).request_hash.as_deref(), told(&keys).accepted),
            (Some("one"), false)
        );
        second.as_ref().map(HeldKey::accept);
        assert!(told(&keys).accepted);
        drop(first);
        assert!(keys.hold(&key, "two").is_none());
        drop(second);
        assert_eq!(told(&keys).request_hash, None);
        assert!(keys.hold(&key, "two").is_some());
        assert!(keys.0.lock().is_empty(), "what nobody holds takes no room");
    }
}
