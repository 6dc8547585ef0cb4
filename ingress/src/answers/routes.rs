//! Which answers this ingress waits for, by request id.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::{FenceAnswer, FenceQuery, Frame, RequestId, TimestampMs};

use super::pending::Pending;

const SHARDS: usize = 16;

/// A sharded map. Several clients may wait for one request, under the same idempotency key. Bounded by the limits of what is in flight
/// and unread.
#[derive(Debug)]
pub struct Routes {
    /// Which shard an id goes to is no client's choice: who brings idempotency keys could crowd one.
    salt: u64,
    shards: [Mutex<HashMap<RequestId, Vec<Arc<Pending>>>>; SHARDS],
}

impl Routes {
    /// Nothing is waited for yet.
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            shards: Default::default(),
        }
    }

    /// From now on frames and outcomes of its request reach it.
    pub fn add(&self, pending: Arc<Pending>) {
        let mut shard = self.shard(&pending.request_id).lock();
        shard.entry(pending.request_id.clone()).or_default().push(pending);
    }

    /// No longer; says whether others still wait for the same request.
    pub fn remove(&self, pending: &Arc<Pending>) -> bool {
        let mut shard = self.shard(&pending.request_id).lock();
        let Some(waiting) = shard.get_mut(&pending.request_id) else {
            return false;
        };
        waiting.retain(|other| !Arc::ptr_eq(other, pending));
        if waiting.is_empty() {
            shard.remove(&pending.request_id);
            return false;
        }
        true
    }

    /// Whether an answer is waited for under this id, and not only read.
    pub fn runs_here(&self, request: &RequestId) -> bool {
        let waiting = self.waiting(request);
        waiting.iter().any(|pending| !pending.has_ended())
    }

    /// Hands a frame that came on `subject` to every answer that waits for it there; says whether one does.
    pub fn frame(&self, frame: Frame, subject: &str, now: TimestampMs) -> bool {
        let mut waiting = self.waiting(&frame.request_id);
        waiting.retain(|pending| pending.reply_to == subject);
        let Some((last, others)) = waiting.split_last() else {
            return false;
        };
        for pending in others {
            pending.on_frame(frame.clone(), now);
        }
        last.on_frame(frame, now);
        true
    }

    /// Frames of one request may have been lost, or of all.
    pub fn lost(&self, request: Option<&RequestId>, now: TimestampMs) {
        let waiting = match request {
            Some(request) => self.waiting(request),
            None => self.all(),
        };
        for pending in waiting {
            pending.on_lost(now);
        }
    }

    /// All answers that are waited for, in the order of their ids.
    fn all(&self) -> Vec<Arc<Pending>> {
        let of_shard = |shard: &Mutex<HashMap<_, Vec<Arc<Pending>>>>| {
            let shard = shard.lock();
            shard.values().flatten().cloned().collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.shards.iter().flat_map(of_shard).collect();
        // Those of one id are in order already.
        all.sort_by(|one, other| one.request_id.cmp(&other.request_id));
        all
    }

    /// Answers the scheduler.
    pub fn fence(&self, query: &FenceQuery) -> FenceAnswer {
        let waiting = self.waiting(&query.request_id);
        let mut saw_token = false;
        for pending in &waiting {
            saw_token |= pending.fence(query.attempt);
        }
        FenceAnswer {
            known: !waiting.is_empty(),
            saw_token,
        }
    }

    /// The answers that are waited for under this id.
    pub fn waiting(&self, request: &RequestId) -> Vec<Arc<Pending>> {
        let shard = self.shard(request).lock();
        shard.get(request).cloned().unwrap_or_default()
    }

    fn shard(&self, request: &RequestId) -> &Mutex<HashMap<RequestId, Vec<Arc<Pending>>>> {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        request.hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }
}
