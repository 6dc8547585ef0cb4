//! Settings of the cache service.

use relay_schemas::Secret;
use serde::Deserialize;

/// The section `cache_service` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most lookups under way, and most outcomes read and not yet filled from.
    pub max_in_flight: usize,
    /// Most bytes that the in-process cache holds.
    pub lru_bytes: u64,
    /// Largest entry, bytes; a larger answer is not cached.
    pub max_entry_bytes: usize,
    /// Outcomes per partition whose winner is remembered, so that a second outcome fills nothing.
    pub remembered_outcomes: usize,
    /// Redis behind the in-process cache; without it each instance caches for itself.
    pub redis: Option<RedisConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            lru_bytes: 64 * 1024 * 1024,
            max_entry_bytes: 256 * 1024,
            remembered_outcomes: 1_024,
            redis: None,
        }
    }
}

/// The section `cache_service.redis`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://` or, with TLS, `rediss://`; user, password and database as Redis URLs have them.
    pub url: Secret,
    /// Begins every key.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Longest wait for an answer, milliseconds; then the lookup goes on without Redis.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Failures in a row after which Redis is bypassed.
    #[serde(default = "failures")]
    pub breaker_failures: u32,
    /// How long it is bypassed before one operation tries again, milliseconds.
    #[serde(default = "pause_ms")]
    pub breaker_pause_ms: u64,
}

impl RedisConfig {
    /// The defaults for the Redis at `url`.
    pub fn at(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            prefix: prefix(),
            timeout_ms: timeout_ms(),
            breaker_failures: failures(),
            breaker_pause_ms: pause_ms(),
        }
    }
}

fn prefix() -> String {
    "relay:cache:".to_owned()
}

fn timeout_ms() -> u64 {
    50
}

fn failures() -> u32 {
    3
}

fn pause_ms() -> u64 {
    1_000
}
