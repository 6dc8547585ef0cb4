//! Which answers this ingress waits for: request id to slots.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::{FenceAnswer, FenceQuery, Frame, RequestId, TimestampMs};

use crate::slot::Slot;

const SHARDS: usize = 16;

/// A sharded map. Several clients may wait for one request, under the same idempotency key. Bounded by the in-flight limit.
#[derive(Debug, Default)]
pub struct Routes {
    shards: [Mutex<HashMap<RequestId, Vec<Arc<Slot>>>>; SHARDS],
    hasher: RandomState,
}

impl Routes {
    /// From now on frames and outcomes of the slot's request reach it.
    pub fn add(&self, slot: Arc<Slot>) {
        let mut shard = self.shard(&slot.request_id).lock();
        shard.entry(slot.request_id.clone()).or_default().push(slot);
    }

    /// No longer; says whether others still wait for the same request.
    pub fn remove(&self, slot: &Arc<Slot>) -> bool {
        let mut shard = self.shard(&slot.request_id).lock();
        let Some(slots) = shard.get_mut(&slot.request_id) else {
            return false;
        };
        slots.retain(|other| !Arc::ptr_eq(other, slot));
        if slots.is_empty() {
            shard.remove(&slot.request_id);
            return false;
        }
        true
    }

    /// The hash of the request that is waited for under this id.
    pub fn running_hash(&self, request: &RequestId) -> Option<String> {
        let shard = self.shard(request).lock();
        Some(shard.get(request)?.first()?.request_hash.clone())
    }

    /// Hands a frame to whoever waits for it; says whether anybody does.
    pub fn frame(&self, frame: Frame, now: TimestampMs) -> bool {
        let slots = self.slots(&frame.request_id);
        let Some((last, others)) = slots.split_last() else {
            return false;
        };
        for slot in others {
            slot.on_frame(frame.clone(), now);
        }
        last.on_frame(frame, now);
        true
    }

    /// Frames of one request may have been lost, or of all.
    pub fn lost(&self, request: Option<&RequestId>, now: TimestampMs) {
        let slots = match request {
            Some(request) => self.slots(request),
            None => self
                .shards
                .iter()
                .flat_map(|shard| shard.lock().values().flatten().cloned().collect::<Vec<_>>())
                .collect(),
        };
        for slot in slots {
            slot.on_lost(now);
        }
    }

    /// Answers the scheduler.
    pub fn fence(&self, query: &FenceQuery) -> FenceAnswer {
        let slots = self.slots(&query.request_id);
        let mut saw_token = false;
        for slot in &slots {
            saw_token |= slot.fence(query.attempt);
        }
        FenceAnswer {
            known: !slots.is_empty(),
            saw_token,
        }
    }

    /// Who waits for this request.
    pub fn slots(&self, request: &RequestId) -> Vec<Arc<Slot>> {
        let shard = self.shard(request).lock();
        shard.get(request).cloned().unwrap_or_default()
    }

    fn shard(&self, request: &RequestId) -> &Mutex<HashMap<RequestId, Vec<Arc<Slot>>>> {
        let hash = self.hasher.hash_one(request);
        &self.shards[hash as usize % SHARDS]
    }
}
