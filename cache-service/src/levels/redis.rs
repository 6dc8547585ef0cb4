//! The shared level. Slow, dead or full of garbage, it never fails a request: it is bypassed and comes back by itself.

use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, RedisError, cmd};
use relay_clock::Clock;
use relay_runner::Health;

use super::client::{self, why_not};
use super::link::{Link, NoLink};
use crate::breaker::Breaker;
use crate::config::RedisConfig;
use crate::error::Error;
use crate::metrics::Metrics;

/// How many answers' time a connection may take.
const CONNECT: u32 = 20;

/// As `/readyz` names it.
const DEPENDENCY: &str = "redis";

/// Redis is bypassed or did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away;

/// See the module.
pub(crate) struct RedisLevel {
    link: Link,
    prefix: String,
    timeout: Duration,
    most_bytes: usize,
    breaker: Mutex<Breaker>,
    clock: Clock,
    metrics: Metrics,
    health: Health,
}

/// What became of one command.
enum Failed {
    Away(String),
    /// The link is being made for another command; that says nothing about Redis.
    NotYet,
    Error(RedisError),
}

impl RedisLevel {
    /// Connects when first used.
    ///
    /// # Errors
    /// Only for a URL that is none, and certificates that cannot be used.
    pub(crate) fn new(
        config: &RedisConfig,
        most_bytes: usize,
        clock: Clock,
        metrics: Metrics,
        health: Health,
    ) -> Result<Self, Error> {
        let timeout = config.timeout.max(Duration::from_millis(1));
        Ok(Self {
            link: Link::new(client::of(config)?, timeout * CONNECT),
            prefix: config.prefix.clone(),
            timeout,
            most_bytes,
            breaker: Mutex::new(Breaker::new(config.breaker.failures, config.breaker.pause)),
            clock,
            metrics,
            health,
        })
    }

    /// The value, cut one byte above what an entry may be, so that a giant cannot fill the memory.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Away> {
        let mut command = cmd("GETRANGE");
        command.arg(self.key(key)).arg(0).arg(self.most_bytes);
        match self.ask::<Vec<u8>>(command).await? {
            Some(bytes) if bytes.is_empty() => Ok(None),
            Some(bytes) => Ok(Some(bytes)),
            // A list or a set under our key: present, and no entry.
            None => Ok(Some(Vec::new())),
        }
    }

    /// Whether the value is there now because of us.
    pub(crate) async fn set_if_absent(&self, key: &str, value: &[u8], left_ms: u64) -> Result<bool, Away> {
        let mut command = cmd("SET");
        command
            .arg(self.key(key))
            .arg(value)
            .arg("NX")
            .arg("PX")
            .arg(left_ms.max(1));
        let set: Option<Option<String>> = self.ask(command).await?;
        Ok(set.flatten().is_some())
    }

    /// Removes what nobody can use; failing does not matter, for it is met again as unusable.
    pub(crate) async fn remove(&self, key: &str) {
        let mut command = cmd("UNLINK");
        command.arg(self.key(key));
        let _: Result<Option<u64>, Away> = self.ask(command).await;
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// `None` where the key holds a value of another type.
    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<Option<T>, Away> {
        if !self.breaker.lock().allows(self.clock.instant()) {
            self.metrics.redis("bypassed");
            return Err(Away);
        }
        let answer = tokio::time::timeout(self.timeout, self.send(command)).await;
        match answer {
            Ok(Ok(value)) => {
                self.worked();
                Ok(Some(value))
            }
            Ok(Err(Failed::Error(error))) if error.code() == Some("WRONGTYPE") => {
                self.worked();
                Ok(None)
            }
            Ok(Err(Failed::NotYet)) => {
                self.metrics.redis("connecting");
                Err(Away)
            }
            Ok(Err(Failed::Away(reason))) => Err(self.failed(&reason)),
            Ok(Err(Failed::Error(error))) => {
                self.link.forget();
                Err(self.failed(&why_not(&error)))
            }
            Err(_) => Err(self.failed("no answer in time")),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: Cmd) -> Result<T, Failed> {
        let mut connection = self.link.get().await.map_err(|error| match error {
            NoLink::Connecting => Failed::NotYet,
            NoLink::Failed(reason) => Failed::Away(reason),
        })?;
        command.query_async(&mut connection).await.map_err(Failed::Error)
    }

    fn worked(&self) {
        self.metrics.redis("answered");
        if self.breaker.lock().succeeded() {
            tracing::info!("Redis answers again and is used");
            self.health.up(DEPENDENCY);
        }
    }

    fn failed(&self, reason: &str) -> Away {
        self.metrics.redis("failed");
        let mut breaker = self.breaker.lock();
        if breaker.failed(self.clock.instant()) {
            tracing::warn!(
                reason,
                "Redis fails and is bypassed; the in-process cache goes on"
            );
            self.health.bypassed(DEPENDENCY, reason);
        }
        if breaker.bypasses() {
            // A path that died in silence answers nothing for ever: the next trial takes a new one.
            self.link.forget();
        }
        Away
    }
}
