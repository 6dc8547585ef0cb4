//! Reading outside any group.

use std::collections::HashMap;

use async_trait::async_trait;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::receive;
use super::context::Quiet;
use super::{KafkaOptions, config, error};
use crate::{BusError, Partition, Reader, Record};

/// Reads partitions from fixed offsets on.
pub(super) struct KafkaReader {
    consumer: StreamConsumer<Quiet>,
    /// Nothing older than this is handed out: a broker that finds an offset out of range starts over from its oldest.
    from: HashMap<Partition, i64>,
}

impl KafkaReader {
    pub(super) fn open(options: &KafkaOptions, from: HashMap<Partition, i64>) -> Result<Self, BusError> {
        let open = || {
            let consumer: StreamConsumer<Quiet> = config::reader(options).create_with_context(Quiet)?;
            let mut list = TopicPartitionList::with_capacity(from.len());
            for (Partition { topic, partition }, offset) in &from {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
            }
            consumer.assign(&list)?;
            Ok(consumer)
        };
        let consumer = open().map_err(|error| error::of(&error, ""))?;
        Ok(Self { consumer, from })
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            let mut records = receive(&self.consumer).await?;
            let wanted = |record: &Record| {
                let from = self.from.get(&record.position.partition);
                from.is_some_and(|from| record.position.offset >= *from)
            };
            records.retain(wanted);
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }
}
