//! Publishing: everything is sent at once, then every acknowledgement is awaited.

use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use relay_clock::Clock;

use super::blocking::blocking;
use super::context::Quiet;
use super::{KafkaOptions, config, convert, error};
use crate::{BusError, Outgoing, Partition, Position};

/// How long to wait for room in a full queue before looking again.
const QUEUE_WAIT: Duration = Duration::from_millis(5);

/// The one producer that all of a process shares, so that what arrives together travels together.
pub(super) struct Producer {
    options: KafkaOptions,
    clock: Clock,
    current: RwLock<FutureProducer<Quiet>>,
}

impl Producer {
    pub(super) fn new(options: KafkaOptions, clock: Clock) -> Result<Self, BusError> {
        let current = RwLock::new(create(&options)?);
        Ok(Self {
            options,
            clock,
            current,
        })
    }

    /// Publishes in order and returns where the records lie, once all replicas have them.
    pub(super) async fn publish(&self, records: &[Outgoing]) -> Result<Vec<Position>, BusError> {
        let producer = self.current.read().clone();
        let mut sent = Vec::with_capacity(records.len());
        for record in records {
            sent.push(self.send(&producer, record).await?);
        }
        let mut positions = Vec::with_capacity(records.len());
        let mut failed = None;
        for (record, delivery) in records.iter().zip(sent) {
            match delivery.await {
                Ok(Ok(at)) => positions.push(Position {
                    partition: Partition::new(record.topic.clone(), at.partition),
                    offset: at.offset,
                }),
                Ok(Err((error, _))) => failed = Some(self.on_error(&producer, &error, record)),
                Err(_) => failed = Some(BusError::Unavailable("the producer was closed".to_owned())),
            }
        }
        failed.map_or(Ok(positions), Err)
    }

    async fn send(
        &self,
        producer: &FutureProducer<Quiet>,
        outgoing: &Outgoing,
    ) -> Result<DeliveryFuture, BusError> {
        let began = self.clock.instant();
        let mut refreshed = false;
        let mut record = FutureRecord::to(&outgoing.topic).headers(convert::headers(&outgoing.headers));
        record.key = outgoing.key.as_deref();
        record.payload = outgoing.value.as_deref();
        record.partition = outgoing.partition;
        loop {
            match producer.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(Code::QueueFull), returned)) => {
                    if self.clock.since(began) > self.options.publish_timeout {
                        return Err(BusError::Unavailable(
                            "the queue to the brokers is full".to_owned(),
                        ));
                    }
                    record = returned;
                    tokio::time::sleep(QUEUE_WAIT).await;
                }
                Err((KafkaError::MessageProduction(Code::UnknownPartition), returned)) if !refreshed => {
                    record = returned;
                    refreshed = true;
                    self.refresh(producer, &outgoing.topic).await?;
                }
                Err((error, _)) => return Err(self.on_error(producer, &error, outgoing)),
            }
        }
    }

    /// Lets the client hear of partitions that were added to `topic`.
    async fn refresh(&self, producer: &FutureProducer<Quiet>, topic: &str) -> Result<(), BusError> {
        let (producer, topic) = (producer.clone(), topic.to_owned());
        let timeout = self.options.request_timeout;
        blocking(move || {
            let asked = producer.client().fetch_metadata(Some(&topic), timeout);
            asked.map(drop).map_err(|error| error::of(&error, &topic))
        })
        .await
    }

    fn on_error(&self, producer: &FutureProducer<Quiet>, error: &KafkaError, record: &Outgoing) -> BusError {
        // Seen after 20 s without brokers (librdkafka 2.12): no record is sent any more, each times out, and no error is fatal.
        // What timed out had the whole of `publish_timeout`, so this makes one producer in that time at most.
        let timed_out = error.rdkafka_error_code() == Some(Code::MessageTimedOut);
        if timed_out || producer.client().fatal_error().is_some() {
            self.replace(producer);
        }
        if error.rdkafka_error_code() == Some(Code::MessageSizeTooLarge) {
            return BusError::TooLarge {
                topic: record.topic.clone(),
                size: convert::size(record),
                limit: self.options.largest_record.as_usize(),
            };
        }
        error::of(error, &record.topic)
    }

    /// An idempotent producer that lost its thread is of no use any more; a new one is.
    fn replace(&self, broken: &FutureProducer<Quiet>) {
        let mut current = self.current.write();
        if current.client().native_ptr() != broken.client().native_ptr() {
            return;
        }
        match create(&self.options) {
            Ok(fresh) => {
                tracing::warn!("the Kafka producer could not go on and was replaced");
                *current = fresh;
            }
            Err(error) => {
                tracing::error!(%error, "the Kafka producer cannot go on and could not be replaced");
            }
        }
    }
}

fn create(options: &KafkaOptions) -> Result<FutureProducer<Quiet>, BusError> {
    config::producer(options)
        .create_with_context(Quiet)
        .map_err(|error| error::of(&error, ""))
}
