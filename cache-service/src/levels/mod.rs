//! The exact cache: an in-process level over Redis.

mod client;
mod link;
mod lru;
mod redis;

use std::sync::Arc;

use relay_schemas::TimestampMs;

pub use self::client::{check_redis, reach_redis};
pub(crate) use self::lru::Lru;
pub(crate) use self::redis::{Away, RedisLevel};
use crate::entry::{Entry, Owner, Unfit};
use crate::metrics::Metrics;

/// What a lookup came to.
#[derive(Debug, PartialEq)]
pub(crate) enum LookupResult {
    /// An answer, and the level that had it.
    Hit(Arc<Entry>, &'static str),
    /// There is none.
    Miss,
    /// The in-process level has none, and Redis cannot say.
    Unavailable,
}

/// What a fill came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FillResult {
    /// The entry is there now.
    Filled,
    /// One was there before and stays.
    Present,
    /// It is larger than entries may be.
    TooLarge,
}

/// Both levels.
pub(crate) struct Levels {
    pub(crate) lru: Lru,
    pub(crate) redis: Option<RedisLevel>,
    pub(crate) metrics: Metrics,
}

impl Levels {
    /// The entry of `owner` that is no older than `ttl_ms`. Whatever lies under the key and does not fit is removed.
    pub(crate) async fn get(&self, key: &str, owner: &Owner, ttl_ms: i64, now: TimestampMs) -> LookupResult {
        if let Some(entry) = self.lru.get(key) {
            match entry.fits(owner, ttl_ms, now) {
                Ok(()) => return LookupResult::Hit(entry, "lru"),
                Err(unfit) => {
                    self.count(unfit);
                    self.lru.remove(key);
                }
            }
        }
        let Some(redis) = &self.redis else {
            return LookupResult::Miss;
        };
        let bytes = match redis.get(key).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return LookupResult::Miss,
            Err(Away) => return LookupResult::Unavailable,
        };
        let Some(entry) = Entry::from_bytes(&bytes) else {
            self.metrics.unusable("garbage");
            redis.remove(key).await;
            return LookupResult::Miss;
        };
        if let Err(unfit) = entry.fits(owner, ttl_ms, now) {
            self.count(unfit);
            redis.remove(key).await;
            return LookupResult::Miss;
        }
        let entry = Arc::new(entry);
        self.lru.insert_if_absent(key, &entry, now);
        LookupResult::Hit(entry, "redis")
    }

    /// Keeps `entry`, of `most_bytes` at most, unless there is one already: the first fill wins. It is written only where there is a
    /// Redis to write it to; else what it takes in memory counts.
    pub(crate) async fn fill(&self, entry: Entry, most_bytes: usize, now: TimestampMs) -> FillResult {
        let key = entry.owner.key();
        let written = self.redis.as_ref().map(|redis| (redis, entry.to_bytes()));
        let size = written
            .as_ref()
            .map_or_else(|| entry.weight(), |(_, bytes)| bytes.len());
        if size > most_bytes {
            return FillResult::TooLarge;
        }
        if let Some((redis, bytes)) = written {
            let set = redis.set_if_absent(&key, &bytes, entry.left_ms(now)).await;
            // Other instances may have been answered from the one that is there: it stays the truth here too.
            if set == Ok(false) {
                return FillResult::Present;
            }
        }
        self.lru.insert_if_absent(&key, &Arc::new(entry), now)
    }

    fn count(&self, unfit: Unfit) {
        self.metrics.unusable(match unfit {
            Unfit::Foreign => "foreign",
            Unfit::Stale => "stale",
        });
    }
}
