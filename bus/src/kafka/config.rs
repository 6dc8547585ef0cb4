//! Our settings in librdkafka's words. Pure.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::KafkaOptions;

/// The group that readers name because librdkafka asks for one; they never join it nor commit.
const READERS: &str = "relay.readers";

/// librdkafka's own bound of a batch, bytes.
const BATCH: usize = 1_000_000;

/// What making a connection gets at least, milliseconds: TLS and a token's endpoint take their time.
const LEAST_SETUP_MS: u128 = 5_000;

/// What a question's connection gets at least, milliseconds.
const LEAST_SOCKET_MS: u128 = 1_000;

/// What librdkafka allows at most for either, milliseconds.
const MOST_SOCKET_MS: u128 = 300_000;

/// What librdkafka allows at most for a produce request, milliseconds.
const MOST_PRODUCE_MS: u128 = 900_000;

/// For publishing: idempotent, acknowledged by all replicas, no lingering, and batches of so many bytes at most: a broker measures
/// the batch, not its records, against what a topic allows.
pub(super) fn producer(options: &KafkaOptions, most_batch: usize) -> ClientConfig {
    let mut config = common(options);
    set(&mut config, "enable.idempotence", true);
    set(&mut config, "acks", "all");
    set(&mut config, "linger.ms", 0);
    set(
        &mut config,
        "max.in.flight.requests.per.connection",
        options.producer_in_flight,
    );
    set(
        &mut config,
        "message.timeout.ms",
        options.publish_timeout.as_millis(),
    );
    set(
        &mut config,
        "request.timeout.ms",
        options.publish_timeout.as_millis().min(MOST_PRODUCE_MS),
    );
    set(&mut config, "message.max.bytes", options.largest_record.as_u64());
    set(
        &mut config,
        "queue.buffering.max.kbytes",
        options.queue_size.as_u64() / 1024,
    );
    set(&mut config, "retry.backoff.ms", 20);
    // Kafka's own clients' choice, so that records of one key meet whoever writes them.
    set(&mut config, "partitioner", "murmur2_random");
    set(&mut config, "sticky.partitioning.linger.ms", 0);
    pass_through(&mut config, options, "producer.");
    set(&mut config, "batch.size", batch(options, most_batch));
    config
}

/// How large a batch may grow where no topic takes more than `most`.
pub(super) fn batch(options: &KafkaOptions, most: usize) -> usize {
    let mut asked = ClientConfig::new();
    pass_through(&mut asked, options, "producer.");
    let asked = asked.get("batch.size").and_then(|size| size.parse().ok());
    asked.unwrap_or(BATCH).min(most).max(1)
}

/// For publishing where each record is a batch of its own.
pub(super) fn lone_producer(options: &KafkaOptions, most_batch: usize) -> ClientConfig {
    let mut config = producer(options, most_batch);
    set(&mut config, "batch.num.messages", 1);
    config
}

/// For a member of `group`. What is stored is committed every now and then, and when a partition or the group is left;
/// nothing is stored but what is finished.
pub(super) fn member(options: &KafkaOptions, group: &str) -> ClientConfig {
    let mut config = consumer(options, group);
    set(&mut config, "partition.assignment.strategy", "cooperative-sticky");
    set(
        &mut config,
        "session.timeout.ms",
        options.session_timeout.as_millis(),
    );
    // A member hears of a rebalance with the answer to its next heartbeat, so this is how long a split takes.
    set(
        &mut config,
        "heartbeat.interval.ms",
        options.session_timeout.as_millis() / 12,
    );
    set(&mut config, "enable.auto.commit", true);
    set(
        &mut config,
        "auto.commit.interval.ms",
        options.commit_interval.as_millis(),
    );
    pass_through(&mut config, options, "consumer.");
    config
}

/// For reading outside any group.
pub(super) fn reader(options: &KafkaOptions) -> ClientConfig {
    asking_for(options, READERS)
}

/// For questions that are asked again: one that is not answered in time takes its connection along, which may be what stands still.
pub(super) fn questions(options: &KafkaOptions) -> ClientConfig {
    let mut config = reader(options);
    set(
        &mut config,
        "socket.timeout.ms",
        options
            .request_timeout
            .as_millis()
            .clamp(LEAST_SOCKET_MS, MOST_SOCKET_MS),
    );
    pass_through(&mut config, options, "consumer.");
    config
}

/// For asking or setting what `group` has committed, without joining it.
pub(super) fn asking_for(options: &KafkaOptions, group: &str) -> ClientConfig {
    let mut config = consumer(options, group);
    set(&mut config, "enable.auto.commit", false);
    pass_through(&mut config, options, "consumer.");
    config
}

/// For topics.
pub(super) fn admin(options: &KafkaOptions) -> ClientConfig {
    let mut config = common(options);
    pass_through(&mut config, options, "producer.");
    config
}

fn consumer(options: &KafkaOptions, group: &str) -> ClientConfig {
    let mut config = common(options);
    set(&mut config, "group.id", group);
    set(&mut config, "enable.auto.offset.store", false);
    // Only for what retention let go: an end below one's position is told as such (`position`).
    set(&mut config, "auto.offset.reset", "earliest");
    set(&mut config, "check.crcs", true);
    // The broker answers as soon as there is one byte; the wait only bounds how long an empty fetch stays open.
    set(&mut config, "fetch.min.bytes", 1);
    set(&mut config, "fetch.wait.max.ms", 500);
    set(&mut config, "fetch.error.backoff.ms", 100);
    set(&mut config, "fetch.queue.backoff.ms", 10);
    set(
        &mut config,
        "queued.max.messages.kbytes",
        options.fetch_size.as_u64() / 1024,
    );
    config
}

fn common(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    set(&mut config, "bootstrap.servers", &options.brokers);
    set(&mut config, "client.id", "relay");
    set(&mut config, "socket.nagle.disable", true);
    set(&mut config, "reconnect.backoff.ms", 50);
    set(&mut config, "reconnect.backoff.max.ms", 1_000);
    // By themselves 30 s and 10 s: a connection that a broker takes while it stands still, or of which the first packet is lost then, would
    // be waited for long after it goes on.
    let setup = options
        .request_timeout
        .as_millis()
        .clamp(LEAST_SETUP_MS, MOST_SOCKET_MS);
    set(&mut config, "socket.connection.setup.timeout.ms", setup);
    set(&mut config, "api.version.request.timeout.ms", setup);
    set(&mut config, "allow.auto.create.topics", false);
    // How soon everybody hears of partitions that were added.
    set(
        &mut config,
        "topic.metadata.refresh.interval.ms",
        options.topic_refresh.as_millis(),
    );
    config
}

/// The user's own words come last and win.
fn pass_through(config: &mut ClientConfig, options: &KafkaOptions, ours: &str) {
    for (name, value) in &options.properties {
        if let Some(name) = name.strip_prefix(ours) {
            set(config, name, value.expose());
        } else if !name.starts_with("producer.") && !name.starts_with("consumer.") {
            set(config, name, value.expose());
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "numbers and texts read better without a reference"
)]
fn set(config: &mut ClientConfig, name: &str, value: impl ToString) {
    config.set(name, value.to_string());
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use super::*;

    #[test]
    fn the_users_properties_win_where_they_are_meant() {
        let mut options = KafkaOptions::new("b:1");
        for (name, value) in [
            ("acks", "1"),
            ("producer.linger.ms", "2"),
            ("consumer.fetch.wait.max.ms", "9"),
        ] {
            options.properties.insert(name.to_owned(), value.into());
        }
        let (producer, member) = (producer(&options, usize::MAX), member(&options, "g"));
        assert_eq!(producer.get("acks"), Some("1"));
        assert_eq!(producer.get("linger.ms"), Some("2"));
        assert_eq!(member.get("fetch.wait.max.ms"), Some("9"));
        assert_eq!(member.get("linger.ms"), None);
        assert_eq!(producer.get("fetch.wait.max.ms"), None);
    }

    #[test]
    fn a_connection_that_does_not_come_about_is_tried_again_as_soon_as_a_question_is() {
        let mut options = KafkaOptions::new("b:1");
        let names = [
            "socket.connection.setup.timeout.ms",
            "api.version.request.timeout.ms",
            "socket.timeout.ms",
        ];
        let told = |options: &KafkaOptions| {
            let config = questions(options);
            names.map(|name| config.get(name).map(str::to_owned).unwrap_or_default())
        };
        assert_eq!(told(&options), ["5000", "5000", "5000"]);
        options.request_timeout = std::time::Duration::from_millis(300);
        assert_eq!(
            told(&options),
            ["5000", "5000", "1000"],
            "a connection may take TLS and a token"
        );
        for name in names {
            options.properties.insert(name.to_owned(), "7000".into());
        }
        assert_eq!(told(&options), ["7000", "7000", "7000"]);
        assert_eq!(
            reader(&KafkaOptions::new("b:1")).get("socket.timeout.ms"),
            None,
            "a fetch may wait"
        );
    }

    #[test]
    fn whatever_the_timeouts_are_librdkafka_makes_every_client() {
        let mut options = KafkaOptions::new("127.0.0.1:1");
        for seconds in [0, 1, 300, 301, 3_600] {
            options.request_timeout = std::time::Duration::from_secs(seconds);
            options.publish_timeout = std::time::Duration::from_secs(seconds.max(1));
            let made = [
                producer(&options, usize::MAX).create::<BaseProducer>().map(drop),
                admin(&options).create::<BaseProducer>().map(drop),
                member(&options, "g").create::<BaseConsumer>().map(drop),
                questions(&options).create::<BaseConsumer>().map(drop),
            ];
            for made in made {
                assert_eq!(made, Ok(()), "{seconds} s");
            }
        }
    }

    #[test]
    fn a_batch_is_never_larger_than_the_smallest_topic_allows() {
        let mut options = KafkaOptions::new("b:1");
        for (asked, most, size) in [
            (None, usize::MAX, "1000000"),
            (None, 65_536, "65536"),
            (Some("500"), 65_536, "500"),
            (Some("2000000"), 65_536, "65536"),
            (Some("2000000"), usize::MAX, "2000000"),
        ] {
            let name = "producer.batch.size".to_owned();
            options.properties.extend(asked.map(|asked| (name, asked.into())));
            assert_eq!(
                producer(&options, most).get("batch.size"),
                Some(size),
                "{asked:?}"
            );
        }
    }
}
