//! Settings of the ingress.

use std::time::Duration;

use relay_api::Limits;
use relay_api::request::Defaults;
use relay_clock::millis;
use relay_lifecycle::Patience;
use relay_settings::ByteSize;
use serde::{Deserialize, Deserializer, de};

use crate::admission::limits::Most;
use crate::admission::request::Rules;

/// Settings of the ingress. Every limit is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. Loopback until API keys exist.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Whether `/metrics` answers on this listener too, and not on the operators' alone.
    pub metrics_enabled: bool,
    /// What a body means that leaves something out.
    pub defaults: DefaultsConfig,
    /// How much is let in.
    pub limits: LimitsConfig,
    /// What one request may hold.
    pub request: Limits,
    /// How long is waited for what.
    pub timeouts: TimeoutsConfig,
    /// When requests expire.
    pub deadlines: DeadlinesConfig,
    /// How answers are followed.
    pub answers: AnswersConfig,
    /// What is known of the world around.
    pub cluster: ClusterConfig,
    /// The batch half.
    pub batch: BatchConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8_000,
            metrics_enabled: false,
            defaults: DefaultsConfig::default(),
            limits: LimitsConfig::default(),
            request: Limits::default(),
            timeouts: TimeoutsConfig::default(),
            deadlines: DeadlinesConfig::default(),
            answers: AnswersConfig::default(),
            cluster: ClusterConfig::default(),
            batch: BatchConfig::default(),
        }
    }
}

impl Config {
    /// What a body may ask for, and what it means that leaves something out.
    pub fn rules(&self) -> Rules {
        Rules {
            defaults: Defaults {
                model: self.defaults.model.clone(),
                max_tokens: self.defaults.max_tokens,
                temperature: self.defaults.temperature,
            },
            limits: self.request.clone(),
        }
    }
}

/// What a body means that leaves something out.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultsConfig {
    /// Model of a chat or completion that names none: the project's own. Without one the field is required, as it always is for
    /// embeddings. `MODEL_NAME` goes before it.
    pub model: Option<String>,
    /// Most new tokens of a request that sets no limit; without it the policy's profile decides. `MAX_LENGTH` goes before it.
    pub max_tokens: Option<u32>,
    /// Temperature of a request that sets none; without it the policy's profile decides. `TEMPERATURE` goes before it.
    pub temperature: Option<f64>,
}

impl Default for DefaultsConfig {
    fn default() -> Self {
        Self {
            model: Some("relay-chat".to_owned()),
            max_tokens: None,
            temperature: None,
        }
    }
}

/// How much is let in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Most connections at once; where none is idle, further ones wait.
    pub max_connections: usize,
    /// Most requests of all tenants between arrival and end.
    pub max_in_flight: usize,
    /// Most requests of one tenant between arrival and end: a hog cannot fill the stages behind.
    pub max_in_flight_per_tenant: usize,
    /// What a client that is refused for being one too many is told to wait.
    #[serde(with = "humantime_serde")]
    pub retry_after: Duration,
    /// Largest request body; leaves room in a record of 1 MiB for what Relay adds.
    pub max_body: ByteSize,
    /// Most bytes of request bodies of all tenants, from their arrival to the log's acknowledgement.
    pub max_bodies: ByteSize,
    /// Most of one tenant, from their announcement on: its unfinished uploads cannot fill the memory. One body always fits.
    pub max_bodies_per_tenant: ByteSize,
    /// Most bytes of one answer held for a client that reads slowly; the rest is asked for again once it reads on.
    pub max_unread: ByteSize,
    /// Most bytes of one tenant's answers that were not read; beyond it what ended keeps its place in flight until it is read.
    pub max_unread_per_tenant: ByteSize,
    /// The same of all tenants.
    pub max_unread_in_all: ByteSize,
    /// Most `refused` records a second.
    pub refusals_per_second: u32,
    /// Most tenants that metrics tell apart; the others are `other`.
    pub metric_tenants: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            max_in_flight: 10_000,
            max_in_flight_per_tenant: 2_000,
            retry_after: Duration::from_secs(1),
            max_body: ByteSize::kib(960),
            max_bodies: ByteSize::mib(512),
            max_bodies_per_tenant: ByteSize::mib(64),
            max_unread: ByteSize::mib(2),
            max_unread_per_tenant: ByteSize::mib(64),
            max_unread_in_all: ByteSize::gib(1),
            refusals_per_second: 20,
            metric_tenants: 100,
        }
    }
}

impl LimitsConfig {
    /// How many bytes of bodies may be held; one body always fits.
    pub fn most_bodies(&self) -> Most {
        let most = |bytes: ByteSize| bytes.as_usize().max(self.max_body.as_usize());
        Most {
            all: most(self.max_bodies),
            of_tenant: most(self.max_bodies_per_tenant),
        }
    }
}

/// How long is waited for what.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// Longest time from a connection to the end of its first request's headers.
    #[serde(deserialize_with = "some_time")]
    pub headers: Duration,
    /// How long a connection may go without a request once it has had one.
    #[serde(deserialize_with = "some_time")]
    pub idle: Duration,
    /// How long a client may take nothing of an answer before it is given up: with its connection, or in HTTP/2 by itself.
    #[serde(deserialize_with = "some_time")]
    pub unread: Duration,
    /// Longest time for a request's body.
    #[serde(with = "humantime_serde")]
    pub body: Duration,
    /// Longest wait for the log to acknowledge a request; then its result is unknown.
    #[serde(with = "humantime_serde")]
    pub accept: Duration,
    /// Longest wait for an answer over the control seam.
    #[serde(with = "humantime_serde")]
    pub ask: Duration,
    /// Silence after which a stream gets its headers and a comment.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            unread: Duration::from_mins(1),
            body: Duration::from_secs(30),
            accept: Duration::from_secs(5),
            ask: Duration::from_millis(500),
            keep_alive: Duration::from_secs(10),
        }
    }
}

/// A time in which something can happen.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let time: Duration = humantime_serde::deserialize(deserializer)?;
    if time.is_zero() {
        return Err(de::Error::custom(
            "no connection lives that long: more than zero, such as 10s",
        ));
    }
    Ok(time)
}

/// When requests expire.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadlinesConfig {
    /// Deadline of requests that set none.
    #[serde(with = "humantime_serde")]
    pub default: Duration,
    /// Longest deadline a client may ask for.
    #[serde(with = "humantime_serde")]
    pub longest: Duration,
    /// How long after its deadline an end is still waited for: the service that holds the request must say that it expired.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
}

impl Default for DeadlinesConfig {
    fn default() -> Self {
        Self {
            default: Duration::from_mins(2),
            longest: Duration::from_mins(10),
            grace: Duration::from_secs(2),
        }
    }
}

/// How answers are followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswersConfig {
    /// From a gap in an answer, or its last frame, to the first question.
    #[serde(with = "humantime_serde")]
    pub gap: Duration,
    /// Silence after which the sink is asked whether a request has ended.
    #[serde(with = "humantime_serde")]
    pub silence: Duration,
    /// The same for requests with an idempotency key, whose frames may go to another ingress.
    #[serde(with = "humantime_serde")]
    pub keyed_silence: Duration,
    /// How long a request with an idempotency key waits for a sink that cannot tell whether it has ended before.
    #[serde(with = "humantime_serde")]
    pub untold: Duration,
    /// Pause between two cancels of the same request.
    #[serde(with = "humantime_serde")]
    pub cancel_every: Duration,
}

impl Default for AnswersConfig {
    fn default() -> Self {
        Self {
            gap: Duration::from_millis(50),
            silence: Duration::from_secs(1),
            keyed_silence: Duration::from_millis(250),
            untold: Duration::from_secs(5),
            cancel_every: Duration::from_millis(250),
        }
    }
}

impl AnswersConfig {
    /// How patiently an answer without a key is followed, and one with a key.
    pub fn patience(&self) -> [Patience; 2] {
        [self.silence, self.keyed_silence].map(|silence| Patience {
            gap_ms: millis(self.gap),
            silence_ms: millis(silence),
            untold_ms: millis(self.untold),
            ..Patience::default()
        })
    }
}

/// What is known of the world around.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Pause between two looks at the dependencies.
    #[serde(with = "humantime_serde")]
    pub probe_every: Duration,
    /// Longest wait for the answer of one; without it, the dependency counts as missing.
    #[serde(with = "humantime_serde")]
    pub probe_patience: Duration,
    /// Age at which a worker's status no longer counts.
    #[serde(with = "humantime_serde")]
    pub worker_stale: Duration,
    /// How accepted requests are found that nothing has ended.
    pub sweep: SweepConfig,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            probe_every: Duration::from_secs(1),
            probe_patience: Duration::from_secs(2),
            worker_stale: Duration::from_secs(5),
            sweep: SweepConfig::default(),
        }
    }
}

/// How accepted requests are found that nothing has ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepConfig {
    /// Pause between two looks.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How long after its deadline, and after this ingress came to know of it, a request may still be ended by whoever has it.
    #[serde(with = "humantime_serde")]
    pub margin: Duration,
    /// Most requests that are remembered until they end; beyond it the log holds the rest.
    pub most_open: usize,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            margin: Duration::from_mins(1),
            most_open: 100_000,
        }
    }
}

/// Settings of the batch half.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Whether this ingress takes batch lines in and hands results out.
    pub enabled: bool,
    /// Most lines at work at once in this process.
    pub max_in_flight: usize,
    /// Most batch requests that wait in a pool. A tenant gets no more than it leaves free; one that has none there gets one in also where
    /// there is no room, until half as many again wait.
    pub waiting_limit: u32,
    /// Most bytes that a pool holds of them, likewise. Keep half as much again well below `scheduler.limits.max_bodies`.
    pub waiting_size: ByteSize,
    /// Most lines that are remembered by where they lie until their turn comes; beyond it the log is not read on.
    pub put_off: usize,
    /// The age, by the time of its record, at which a line whose turn has not come ends as expired, while it can still be read. Keep it
    /// below the retention of `relay.batch.requests.v1`.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
    /// For how long an admitted line counts as on its way to the queue.
    #[serde(with = "humantime_serde")]
    pub in_transit: Duration,
    /// Age at which a pool's status no longer counts; without any the intake pauses.
    #[serde(with = "humantime_serde")]
    pub status_stale: Duration,
    /// Deadline of lines that set none; also the longest allowed.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// The newest outcomes of each partition that are remembered, and read back from the log after a restart: a second outcome of a
    /// line that comes later than this after the first gives a second result.
    pub remembered: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_in_flight: 64,
            waiting_limit: 2_000,
            waiting_size: ByteSize::mib(128),
            put_off: 1_000_000,
            longest_wait: Duration::from_hours(6 * 24),
            in_transit: Duration::from_secs(2),
            status_stale: Duration::from_secs(5),
            window: Duration::from_hours(24),
            remembered: 4_096,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_may_do_nothing_for_no_time_is_refused() {
        for key in ["headers", "idle", "unread"] {
            let refused = relay_settings::from_str::<Config>(&format!("timeouts:\n  {key}: 0s\n"));
            let refused = refused.expect_err(key).to_string();
            assert!(
                refused.contains(key) && refused.contains("more than zero"),
                "{refused}"
            );
            let read = relay_settings::from_str::<Config>(&format!("timeouts:\n  {key}: 5s\n"));
            assert!(read.is_ok(), "{read:?}");
        }
    }
}
