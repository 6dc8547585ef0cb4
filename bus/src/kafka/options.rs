//! What can be set about the Kafka clients.

use std::collections::BTreeMap;

use relay_schemas::Secret;
use serde::Deserialize;

/// Defaults for all but the brokers; anything else librdkafka knows goes through `properties`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaOptions {
    /// `host:port`, by comma.
    pub brokers: String,
    /// Handed to librdkafka as they are and after our own settings: `security.protocol`, `sasl.mechanism`, …
    /// Any of them may be a secret (`sasl.password`, `ssl.key.pem`), so none is ever shown.
    /// With `producer.` or `consumer.` in front only to that kind of client.
    pub properties: BTreeMap<String, Secret>,
    /// Produce requests in flight per broker. One batches by itself and is fastest near the broker (DESIGN.md); with many
    /// partitions a broker, or a far one, it is too few.
    pub producer_in_flight: u32,
    /// How long a publish may take before its result counts as unknown.
    pub publish_timeout_ms: u64,
    /// Most bytes on their way to the brokers; publishers wait beyond it.
    pub queue_kbytes: u32,
    /// Most bytes read ahead by one consumer.
    pub fetch_kbytes: u32,
    /// Finished offsets are committed this often; a crash repeats at most what was finished in between.
    pub commit_interval_ms: u32,
    /// After how long a silent member is thrown out of its group; brokers allow 6 s at least by default.
    pub session_timeout_ms: u32,
    /// How long to wait for answers about topics, offsets and groups.
    pub request_timeout_ms: u64,
    /// The largest record any topic allows; topics have their own, smaller limits.
    pub largest_record_bytes: usize,
}

impl KafkaOptions {
    /// The defaults.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            producer_in_flight: 1,
            publish_timeout_ms: 5_000,
            queue_kbytes: 64 * 1024,
            fetch_kbytes: 16 * 1024,
            commit_interval_ms: 100,
            session_timeout_ms: 6_000,
            request_timeout_ms: 5_000,
            largest_record_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Default for KafkaOptions {
    /// A broker of this machine.
    fn default() -> Self {
        Self::new("127.0.0.1:9092")
    }
}
