//! Settings of the ingress.

use relay_lifecycle::Patience;
use serde::Deserialize;

use crate::canonical::Defaults;

/// Settings of the ingress. Every limit is one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. Loopback until API keys exist.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Model of a request that names none: the project's own. Without one the field is required. `MODEL_NAME` goes before it.
    pub default_model: Option<String>,
    /// Most new tokens of a request that sets no limit; without it the policy's profile decides. `MAX_LENGTH` goes before it.
    pub default_max_tokens: Option<u32>,
    /// Temperature of a request that sets none; without it the policy's profile decides. `TEMPERATURE` goes before it.
    pub default_temperature: Option<f64>,
    /// Whether `/metrics` answers.
    pub metrics_enabled: bool,
    /// Largest request body; leaves room in a record of 1 MiB for what Relay adds.
    pub max_body_bytes: usize,
    /// Most connections at once; further ones wait in the operating system.
    pub max_connections: usize,
    /// Longest time for a request's headers, milliseconds.
    pub header_timeout_ms: u64,
    /// Longest time for a request's body, milliseconds.
    pub body_timeout_ms: u64,
    /// Most requests of all tenants between arrival and end.
    pub max_in_flight: usize,
    /// Most requests of one tenant between arrival and end: a hog cannot fill the stages behind.
    pub max_in_flight_per_tenant: usize,
    /// What a client that is refused for being one too many is told to wait, milliseconds.
    pub retry_after_ms: i64,
    /// Longest wait for the log to acknowledge a request, milliseconds; then its result is unknown.
    pub accept_timeout_ms: u64,
    /// Deadline of requests that set none, milliseconds.
    pub default_deadline_ms: i64,
    /// Longest deadline a client may ask for, milliseconds.
    pub max_deadline_ms: i64,
    /// How long after its deadline an end is still waited for: whoever holds the request must say that it expired.
    pub deadline_grace_ms: i64,
    /// Silence after which a stream gets its headers and a comment, milliseconds.
    pub keep_alive_ms: u64,
    /// Pause between two cancels of the same request, milliseconds.
    pub cancel_every_ms: u64,
    /// Longest wait for an answer over the control seam, milliseconds.
    pub ask_timeout_ms: u64,
    /// From a gap in an answer, or its last frame, to the first question, milliseconds.
    pub gap_ms: i64,
    /// Silence after which the sink is asked whether a request has ended, milliseconds.
    pub silence_ms: i64,
    /// The same for requests with an idempotency key, whose frames may go to another ingress.
    pub keyed_silence_ms: i64,
    /// Most bytes of one answer held for a client that reads slowly; the rest is asked for again once it reads on.
    pub max_unread_bytes: usize,
    /// Most `refused` records a second.
    pub refused_per_second: u32,
    /// Pause between two looks at the dependencies, milliseconds.
    pub probe_every_ms: u64,
    /// Age at which a worker's status no longer counts, milliseconds.
    pub worker_stale_ms: i64,
    /// How long streams in flight may take to finish during a drain, milliseconds.
    pub grace_ms: u64,
    /// The batch half.
    pub batch: BatchConfig,
}

/// Settings of the batch half.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Whether this ingress takes batch lines in and hands results out.
    pub enabled: bool,
    /// Most lines at work at once in this process.
    pub max_in_flight: usize,
    /// Batch requests waiting in a pool from which on the intake pauses. Keep it well below the scheduler's own bound.
    pub waiting_limit: u32,
    /// For how long an admitted line counts as on its way to the queue, milliseconds.
    pub in_transit_ms: i64,
    /// Age at which a pool's status no longer counts, milliseconds; without any the intake pauses.
    pub status_stale_ms: i64,
    /// Deadline of lines that set none, milliseconds; also the longest allowed.
    pub window_ms: i64,
    /// The newest outcomes of each partition that are remembered, and read back from the log after a restart: a second outcome of a
    /// line that comes later than this after the first gives a second result.
    pub remembered: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8_000,
            default_model: Some("relay-chat".to_owned()),
            default_max_tokens: None,
            default_temperature: None,
            metrics_enabled: true,
            max_body_bytes: 1_048_576 - 65_536,
            max_connections: 16_384,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            max_in_flight: 10_000,
            max_in_flight_per_tenant: 2_000,
            retry_after_ms: 1_000,
            accept_timeout_ms: 5_000,
            default_deadline_ms: 120_000,
            max_deadline_ms: 600_000,
            deadline_grace_ms: 2_000,
            keep_alive_ms: 10_000,
            cancel_every_ms: 250,
            ask_timeout_ms: 500,
            gap_ms: 50,
            silence_ms: 1_000,
            keyed_silence_ms: 250,
            max_unread_bytes: 2 * 1_048_576,
            refused_per_second: 20,
            probe_every_ms: 1_000,
            worker_stale_ms: 5_000,
            grace_ms: 20_000,
            batch: BatchConfig::default(),
        }
    }
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_in_flight: 64,
            waiting_limit: 1_000,
            in_transit_ms: 2_000,
            status_stale_ms: 5_000,
            window_ms: 24 * 3_600_000,
            remembered: 4_096,
        }
    }
}

impl Config {
    /// What a body means that leaves it out.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            model: self.default_model.clone(),
            max_tokens: self.default_max_tokens,
            temperature: self.default_temperature,
        }
    }

    /// How patiently answers are followed.
    pub fn patience(&self, keyed: bool) -> Patience {
        Patience {
            gap_ms: self.gap_ms,
            silence_ms: if keyed {
                self.keyed_silence_ms
            } else {
                self.silence_ms
            },
            ..Patience::default()
        }
    }
}
