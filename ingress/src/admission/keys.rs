//! Which idempotency keys are in use here, and for which body. Looked at and taken in one step: of two bodies that come under one
//! key at once, one gets on. Those that come to two ingresses are told apart by the record of the one that won.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::RequestId;

/// The keys in use. Whoever holds one has a place in flight, so the limits of those bound it.
#[derive(Debug, Default)]
pub struct Keys(Mutex<HashMap<RequestId, InUse>>);

#[derive(Debug)]
struct InUse {
    request_hash: String,
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
                    holders: 1,
                });
            }
        }
        Some(HeldKey {
            keys: Arc::clone(self),
            key: key.clone(),
        })
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
        drop(first);
        assert!(keys.hold(&key, "two").is_none());
        drop(second);
        assert!(keys.hold(&key, "two").is_some());
        assert!(keys.0.lock().is_empty(), "what nobody holds takes no room");
    }
}
