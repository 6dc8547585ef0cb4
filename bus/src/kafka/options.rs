//! What can be set about the Kafka clients.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use relay_schemas::Secret;
use relay_settings::ByteSize;
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
    #[serde(with = "humantime_serde")]
    pub publish_timeout: Duration,
    /// Most bytes on their way to the brokers; publishers wait beyond it.
    pub queue_size: ByteSize,
    /// Most bytes read ahead by one consumer.
    pub fetch_size: ByteSize,
    /// Finished offsets are committed this often; a crash repeats at most what was finished in between.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// After how long a silent member is thrown out of its group; brokers allow 6 s at least by default.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// How long to wait for answers about topics, offsets and groups.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How soon whoever reads or writes hears of partitions that were added to a topic, or of a topic that was made anew.
    #[serde(with = "humantime_serde")]
    pub topic_refresh: Duration,
    /// A client that fails for so long, or brings nothing though there is something to read (found twice so long apart), is replaced.
    #[serde(with = "humantime_serde")]
    pub replace_after: Duration,
    /// The largest record any topic allows; topics have their own, smaller limits.
    pub largest_record: ByteSize,
}

impl KafkaOptions {
    /// The defaults.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            producer_in_flight: 1,
            publish_timeout: Duration::from_secs(5),
            queue_size: ByteSize::mib(64),
            fetch_size: ByteSize::mib(16),
            commit_interval: Duration::from_millis(100),
            session_timeout: Duration::from_secs(6),
            request_timeout: Duration::from_secs(5),
            topic_refresh: Duration::from_secs(5),
            replace_after: Duration::from_secs(10),
            largest_record: ByteSize::mib(16),
        }
    }
}

impl KafkaOptions {
    /// The properties that librdkafka does not take, by name, and why; in words that hold no value.
    pub fn refused_properties(&self) -> Vec<(&str, String)> {
        let refused = |(name, value): (_, &Secret)| {
            let bare = bare(name);
            let mut config = ClientConfig::new();
            config.set(bare, value.expose());
            match config.create_native_config().err()? {
                KafkaError::ClientConfig(_, said, ..) if said.contains("No such") => {
                    Some((name, format!("librdkafka has no property `{bare}`")))
                }
                _ => Some((name, "librdkafka does not take this value".to_owned())),
            }
        };
        let properties = self.properties.iter();
        properties
            .filter_map(|(name, value)| refused((name.as_str(), value)))
            .collect()
    }
}

/// A property's name, for whichever client it is.
fn bare(name: &str) -> &str {
    let of_kind = ["producer.", "consumer."]
        .into_iter()
        .find_map(|kind| name.strip_prefix(kind));
    of_kind.unwrap_or(name)
}

impl Default for KafkaOptions {
    /// A broker of this machine.
    fn default() -> Self {
        Self::new("127.0.0.1:9092")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_librdkafka_does_not_take_is_named_and_its_value_is_not() {
        let mut options = KafkaOptions::new("b:1");
        for (name, value) in [
            ("acks", "1"),
            ("producer.linger.ms", "2"),
            ("ssl.keys.password", "hunter2"),
            ("consumer.fetch.wait.max.ms", "hunter2"),
        ] {
            options.properties.insert(name.to_owned(), value.into());
        }
        let expected = [
            (
                "consumer.fetch.wait.max.ms",
                "librdkafka does not take this value",
            ),
            (
                "ssl.keys.password",
                "librdkafka has no property `ssl.keys.password`",
            ),
        ];
        assert_eq!(
            options.refused_properties(),
            expected.map(|(name, said)| (name, said.to_owned()))
        );
    }
}
