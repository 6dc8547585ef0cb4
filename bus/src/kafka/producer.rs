//! Publishing: everything is sent at once, then every acknowledgement is awaited.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use relay_clock::Clock;

use super::blocking::blocking;
use super::context::Quiet;
use super::metrics::Metrics;
use super::refusal::Refusal;
use super::{KafkaOptions, config, convert, error};
use crate::{BusError, Outgoing, Partition, Position};

/// How long to wait for room in a full queue before looking again.
const QUEUE_WAIT: Duration = Duration::from_millis(5);

/// The one producer that all of a process shares, so that what arrives together travels together.
pub(super) struct Producer {
    options: KafkaOptions,
    clock: Clock,
    metrics: Metrics,
    /// Most bytes of a batch.
    most_batch: AtomicUsize,
    current: Line,
    /// For what was refused together with others; made when it is needed.
    alone: OnceLock<Line>,
}

/// One kind of client, which is replaced when it cannot go on.
struct Line {
    client: RwLock<FutureProducer<Quiet>>,
    config: Settings,
    /// Why brokers turned it away.
    refusal: Refusal,
}

/// The settings of a kind of client, by the most bytes of a batch.
type Settings = fn(&KafkaOptions, usize) -> ClientConfig;

impl Line {
    fn open(config: Settings, options: &KafkaOptions) -> Result<Self, BusError> {
        let refusal = Refusal::default();
        Ok(Self {
            client: RwLock::new(create(&config(options, usize::MAX), &refusal)?),
            config,
            refusal,
        })
    }

    fn client(&self) -> FutureProducer<Quiet> {
        self.client.read().clone()
    }
}

impl Producer {
    pub(super) fn new(options: KafkaOptions, clock: Clock, metrics: Metrics) -> Result<Self, BusError> {
        let current = Line::open(config::producer, &options)?;
        Ok(Self {
            options,
            clock,
            metrics,
            most_batch: AtomicUsize::new(usize::MAX),
            current,
            alone: OnceLock::new(),
        })
    }

    /// Publishes in order and returns where each record lies, once all replicas have it.
    pub(super) async fn publish(&self, records: &[Outgoing]) -> Vec<Result<Position, BusError>> {
        self.publish_on(&self.current, records).await
    }

    /// Publishes one record in a batch of its own.
    pub(super) async fn publish_alone(&self, record: &Outgoing) -> Result<Position, BusError> {
        let line = if let Some(line) = self.alone.get() {
            line
        } else {
            let line = Line::open(config::lone_producer, &self.options)?;
            self.alone.get_or_init(|| line)
        };
        let mut ends = self.publish_on(line, std::slice::from_ref(record)).await;
        let closed = || Err(BusError::Unavailable("the producer was closed".to_owned()));
        ends.pop().unwrap_or_else(closed)
    }

    /// From now on no batch is larger than `limit`.
    pub(super) fn fit(&self, limit: usize) {
        let before = self.most_batch.fetch_min(limit, Ordering::Relaxed);
        if before > limit && config::batch(&self.options, before) > config::batch(&self.options, limit) {
            tracing::info!(
                limit,
                "a topic takes less than a batch may hold: the Kafka producer is replaced by one of smaller batches"
            );
            self.replace(&self.current, &self.current.client());
        }
    }

    async fn publish_on(&self, line: &Line, records: &[Outgoing]) -> Vec<Result<Position, BusError>> {
        let producer = line.client();
        let mut sent = Vec::with_capacity(records.len());
        for record in records {
            let delivery = self.send(line, &producer, record).await;
            // What was not sent is the end of it: nothing of the same publish may lie before it.
            let failed = delivery.is_err();
            sent.push(delivery);
            if failed {
                break;
            }
        }
        let mut ends = Vec::with_capacity(sent.len());
        for (record, delivery) in records.iter().zip(sent) {
            ends.push(match delivery {
                Ok(delivery) => self.end(line, &producer, record, delivery).await,
                Err(error) => Err(error),
            });
        }
        ends
    }

    async fn end(
        &self,
        line: &Line,
        producer: &FutureProducer<Quiet>,
        record: &Outgoing,
        delivery: DeliveryFuture,
    ) -> Result<Position, BusError> {
        match delivery.await {
            Ok(Ok(at)) => {
                line.refusal.forget();
                Ok(Position {
                    partition: Partition::new(record.topic.clone(), at.partition),
                    offset: at.offset,
                })
            }
            Ok(Err((error, _))) => Err(self.on_error(line, producer, &error, record)),
            Err(_) => Err(BusError::Unavailable("the producer was closed".to_owned())),
        }
    }

    async fn send(
        &self,
        line: &Line,
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
                Err((error, _)) => return Err(self.on_error(line, producer, &error, outgoing)),
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

    fn on_error(
        &self,
        line: &Line,
        producer: &FutureProducer<Quiet>,
        error: &KafkaError,
        record: &Outgoing,
    ) -> BusError {
        // Seen after 20 s without brokers (librdkafka 2.12): no record is sent any more, each times out, and no error is fatal.
        // What timed out had the whole of `publish_timeout`, so this makes one producer in that time at most.
        let timed_out = error.rdkafka_error_code() == Some(Code::MessageTimedOut);
        if timed_out || producer.client().fatal_error().is_some() {
            tracing::warn!(%error, "the Kafka producer cannot go on; it is replaced");
            self.metrics.replaced("producer");
            self.replace(line, producer);
        }
        if error.rdkafka_error_code() == Some(Code::MessageSizeTooLarge) {
            return BusError::TooLarge {
                topic: record.topic.to_string(),
                size: convert::size(record),
                limit: self.options.largest_record.as_usize(),
            };
        }
        line.refusal.explain(error::of(error, &record.topic))
    }

    /// An idempotent producer that lost its thread is of no use any more; a new one is.
    fn replace(&self, line: &Line, before: &FutureProducer<Quiet>) {
        let mut current = line.client.write();
        if current.client().native_ptr() != before.client().native_ptr() {
            return;
        }
        let most_batch = self.most_batch.load(Ordering::Relaxed);
        match create(&(line.config)(&self.options, most_batch), &line.refusal) {
            Ok(fresh) => *current = fresh,
            Err(error) => tracing::error!(%error, "the Kafka producer could not be replaced"),
        }
    }
}

fn create(config: &ClientConfig, refusal: &Refusal) -> Result<FutureProducer<Quiet>, BusError> {
    let refusal = refusal.clone();
    config
        .create_with_context(Quiet { refusal })
        .map_err(|error| error::of(&error, ""))
}
