//! Why the cache service ends other than by a drain.

use relay_runner::RunnerError;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `cache_service.redis.url` is no URL of Redis. It is not repeated here: it may hold a password.
    #[error(
        "cache_service.redis.url is no Redis URL ({0}); use redis://host:6379 or, with TLS, rediss://host:6379"
    )]
    RedisUrl(String),
    /// Certificates of `cache_service.redis` that cannot be used.
    #[error("cache_service.redis.{0}")]
    RedisCertificates(String),
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A stage ended.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}
