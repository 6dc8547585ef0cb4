//! What the cache service counts.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};
use relay_runner::superseded_counter;
use relay_schemas::Service;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    lookups: IntCounterVec,
    fills: IntCounterVec,
    unusable: IntCounterVec,
    redis: IntCounterVec,
    superseded: IntCounter,
    lru_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str| {
            register_int_counter_vec_with_registry!(name, help, &["result"], registry)
        };
        Ok(Self {
            lookups: counters(
                "relay_cache_service_lookups_total",
                "Planned requests, by what the lookup came to.",
            )?,
            fills: counters(
                "relay_cache_service_fills_total",
                "Winning outcomes, by what they left in the cache.",
            )?,
            unusable: counters(
                "relay_cache_service_unusable_total",
                "Entries found and removed, by why.",
            )?,
            redis: counters(
                "relay_cache_service_redis_total",
                "Commands to Redis, by what became of them.",
            )?,
            superseded: superseded_counter(registry, Service::CacheService)?,
            lru_bytes: register_int_gauge_with_registry!(
                "relay_cache_service_lru_bytes",
                "Bytes that the in-process cache holds, roughly.",
                registry
            )?,
        })
    }

    /// `lru`, `redis`, `miss`, `off`, `unavailable` or `expired`.
    pub(crate) fn looked_up(&self, result: &'static str) {
        self.lookups.with_label_values(&[result]).inc();
    }

    /// `filled`, `present` or a name of `NotCached`.
    pub(crate) fn filled(&self, result: &'static str, lru_bytes: u64) {
        self.fills.with_label_values(&[result]).inc();
        self.lru_bytes.set(i64::try_from(lru_bytes).unwrap_or(i64::MAX));
    }

    /// `garbage`, `foreign` or `stale`.
    pub(crate) fn unusable(&self, result: &'static str) {
        self.unusable.with_label_values(&[result]).inc();
    }

    /// `answered`, `failed`, `bypassed` or `connecting`.
    pub(crate) fn redis(&self, result: &'static str) {
        self.redis.with_label_values(&[result]).inc();
    }

    pub(crate) fn superseded(&self) {
        self.superseded.inc();
    }

    #[cfg(test)]
    pub(crate) fn superseded_count(&self) -> u64 {
        self.superseded.get()
    }

    #[cfg(test)]
    pub(crate) fn unusable_count(&self, result: &'static str) -> u64 {
        self.unusable.with_label_values(&[result]).get()
    }
}
