//! Questions about topics: partitions, offsets, instants. All of it waits for a broker, hence [`Meta::ask`].

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use relay_clock::Clock;
use relay_schemas::TimestampMs;

use super::blocking::blocking;
use super::context::Quiet;
use super::metrics::Metrics;
use super::position::twice;
use super::refusal::Refusal;
use super::renewed::Renewed;
use super::{KafkaOptions, config, error};
use crate::topics::OUTCOMES;
use crate::{BusError, OffsetRange, Partition, StartAt};

/// How long to wait before looking again at what has just been made.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Most errors of a client that are heard after a question without an answer.
const MOST_HEARD: usize = 64;

/// Asks.
pub(super) struct Meta {
    client: Renewed<BaseConsumer<Quiet>>,
    refusal: Refusal,
    options: KafkaOptions,
    timeout: Duration,
    clock: Clock,
}

impl Meta {
    pub(super) fn new(options: &KafkaOptions, clock: Clock, metrics: Metrics) -> Result<Self, BusError> {
        let config = config::questions(options);
        let refusal = Refusal::default();
        let told = refusal.clone();
        let make = move || {
            let refusal = told.clone();
            let client = config.create_with_context(Quiet { refusal });
            client.map_err(|error| error::of(&error, ""))
        };
        let seam = (clock.clone(), metrics);
        Ok(Self {
            client: Renewed::new("questions", options.replace_after, seam, make)?,
            refusal,
            options: options.clone(),
            timeout: options.request_timeout,
            clock,
        })
    }

    /// Asks where waiting harms nobody.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let meta = Arc::clone(self);
        blocking(move || question(&meta)).await
    }

    fn client<T>(&self, ask: impl Fn(&BaseConsumer<Quiet>) -> Result<T, BusError>) -> Result<T, BusError> {
        let client = self.client.get();
        let answer = ask(&client);
        if answer.is_ok() {
            self.refusal.forget();
        }
        let answer = self.client.answered(&client, answer);
        answer.map_err(|error| self.explain(error))
    }

    /// An error of this client, or of another one that nobody polls, and why brokers turn us away.
    pub(super) fn explain(&self, error: BusError) -> BusError {
        // Nobody else hears what it has to say: whoever only asks does not poll.
        let client = self.client.get();
        for _ in 0..MOST_HEARD {
            drop(client.poll(Duration::ZERO));
        }
        self.refusal.explain(error)
    }

    /// How long an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether any broker answers; which topic is asked about does not matter.
    pub(super) fn probe(&self) -> Result<(), BusError> {
        match self.partitions(OUTCOMES) {
            Ok(_) | Err(BusError::UnknownTopic(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        let metadata = self.client(|client| {
            let metadata = client.fetch_metadata(Some(topic), self.timeout);
            metadata.map_err(|error| error::of(&error, topic))
        })?;
        let unknown = || BusError::UnknownTopic(topic.to_owned());
        let found = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic)
            .ok_or_else(unknown)?;
        if let Some(code) = found.error() {
            return Err(error::of_bare(code.into(), topic));
        }
        if found.partitions().is_empty() {
            return Err(unknown());
        }
        Ok(found.partitions().len() as i32)
    }

    /// Waits until every one of `topic`'s partitions answers, as they do a moment after they were made.
    pub(super) fn wait_for(&self, topic: &str, partitions: i32) -> Result<(), BusError> {
        let began = self.clock.instant();
        loop {
            // The number comes first: asking for it makes the client hear of new partitions.
            let found = self.partitions(topic).and_then(|found| {
                let answers = |number| self.range(&Partition::new(topic, number)).map(drop);
                (0..partitions.min(found)).try_for_each(answers).map(|()| found)
            });
            match found {
                Ok(found) if found >= partitions => return Ok(()),
                Err(error) if self.clock.since(began) > self.timeout => return Err(error),
                _ if self.clock.since(began) > self.timeout => {
                    return Err(BusError::Unavailable(format!("{topic} is not ready yet")));
                }
                _ => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    pub(super) fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        let Partition { topic, partition } = partition;
        let ask = || {
            self.client(|client| {
                let watermarks = client.fetch_watermarks(topic, *partition, self.timeout);
                watermarks.map_err(|error| error::of(&error, topic))
            })
        };
        let (low, high) = match ask() {
            // It may be new, and the client has not heard of it: asking for the topic tells it.
            Err(BusError::UnknownTopic(_)) if self.partitions(topic)? > *partition => ask()?,
            answer => answer?,
        };
        Ok(OffsetRange { low, high })
    }

    pub(super) fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        let ask = || -> Result<Option<i64>, KafkaError> {
            let asking: BaseConsumer<Quiet> =
                config::asking_for(&self.options, group).create_with_context(Quiet::default())?;
            let mut list = TopicPartitionList::new();
            list.add_partition(&partition.topic, partition.partition);
            let committed = asking.committed_offsets(list, self.timeout)?;
            Ok(first_offset(&committed))
        };
        ask().map_err(|error| error::of(&error, &partition.topic))
    }

    /// The offset at which reading begins.
    pub(super) fn start(&self, partition: &Partition, at: StartAt) -> Result<i64, BusError> {
        twice(self.options.topic_refresh, || self.start_now(partition, at))
    }

    fn start_now(&self, partition: &Partition, at: StartAt) -> Result<i64, BusError> {
        let OffsetRange { low, high } = self.range(partition)?;
        Ok(match at {
            StartAt::Start => low,
            StartAt::End => high,
            StartAt::Offset(offset) if offset > high => {
                return Err(BusError::rewound(partition, offset));
            }
            StartAt::Offset(offset) => offset.max(low),
            StartAt::Time(instant) => self.at(partition, instant)?.unwrap_or(high),
        })
    }

    fn at(&self, partition: &Partition, instant: TimestampMs) -> Result<Option<i64>, BusError> {
        let ask = |client: &BaseConsumer<Quiet>| -> Result<Option<i64>, KafkaError> {
            let mut list = TopicPartitionList::new();
            let instant = Offset::Offset(instant.0.max(0));
            list.add_partition_offset(&partition.topic, partition.partition, instant)?;
            let found = client.offsets_for_times(list, self.timeout)?;
            Ok(first_offset(&found))
        };
        self.client(|client| ask(client).map_err(|error| error::of(&error, &partition.topic)))
    }
}

fn first_offset(list: &TopicPartitionList) -> Option<i64> {
    match list.elements().first()?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}
