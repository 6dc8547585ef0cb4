//! The in-process level: least recently used, bounded by bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use relay_schemas::TimestampMs;

use super::FillResult;
use crate::entry::Entry;

/// What the cache keeps beside each entry and its key: places in its table, in the order of use and in that of expiry. 240 bytes by
/// a heap profile; short answers take so little themselves that it counts.
const BESIDE: usize = 256;

/// An entry, and what was left of its life when it came in.
#[derive(Clone)]
struct Timed {
    entry: Arc<Entry>,
    left: Duration,
}

/// See the module. Cheap to clone; clones share the entries.
#[derive(Clone)]
pub(crate) struct Lru(Cache<String, Timed>);

struct OwnLife;

impl Expiry<String, Timed> for OwnLife {
    fn expire_after_create(&self, _key: &String, timed: &Timed, _at: Instant) -> Option<Duration> {
        Some(timed.left)
    }
}

impl Lru {
    pub(crate) fn new(most_bytes: u64) -> Self {
        let weigh = |key: &String, timed: &Timed| -> u32 {
            u32::try_from(BESIDE + key.len() + timed.entry.weight()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(most_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(weigh)
            .expire_after(OwnLife)
            .build();
        Self(cache)
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.get(key).map(|timed| timed.entry)
    }

    pub(crate) fn insert_if_absent(&self, key: &str, entry: &Arc<Entry>, now: TimestampMs) -> FillResult {
        let timed = || Timed {
            entry: entry.clone(),
            left: Duration::from_millis(entry.left_ms(now)),
        };
        if self.0.entry_by_ref(key).or_insert_with(timed).is_fresh() {
            FillResult::Filled
        } else {
            FillResult::Present
        }
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0.invalidate(key);
    }

    /// Lets what is put off (evictions, weights) happen now.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.0.run_pending_tasks();
    }

    /// Bytes timed, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }
}
