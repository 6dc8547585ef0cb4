//! Settings of the cache service.

use std::path::PathBuf;
use std::time::Duration;

use relay_schemas::Secret;
use relay_settings::ByteSize;
use serde::Deserialize;

/// The section `cache_service` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most lookups under way, and most outcomes read and not yet filled from.
    pub max_in_flight: usize,
    /// Most bytes that the in-process cache holds.
    pub lru_size: ByteSize,
    /// Largest entry; a larger answer is not cached.
    pub max_entry: ByteSize,
    /// Outcomes per partition whose winner is remembered, so that a second outcome fills nothing.
    pub remembered_outcomes: usize,
    /// Redis behind the in-process cache; without it each instance caches for itself.
    pub redis: Option<RedisConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            lru_size: ByteSize::mib(64),
            max_entry: ByteSize::kib(256),
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
    /// Certificate authorities in a PEM file, instead of the machine's.
    pub root_certificates: Option<PathBuf>,
    /// Our certificate, PEM, with [`RedisConfig::client_key`].
    pub client_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// Begins every key.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Longest wait for an answer; then the lookup goes on without Redis.
    #[serde(default = "timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// When Redis is bypassed.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// The section `cache_service.redis.breaker`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row after which Redis is bypassed.
    pub failures: u32,
    /// How long it is bypassed before one operation tries again.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 3,
            pause: Duration::from_secs(1),
        }
    }
}

impl RedisConfig {
    /// The defaults for the Redis at `url`.
    pub fn at(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            root_certificates: None,
            client_certificate: None,
            client_key: None,
            prefix: prefix(),
            timeout: timeout(),
            breaker: BreakerConfig::default(),
        }
    }
}

fn prefix() -> String {
    "relay:cache:".to_owned()
}

fn timeout() -> Duration {
    Duration::from_millis(50)
}
