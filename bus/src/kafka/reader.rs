//! Reading outside any group.

use std::collections::HashMap;

use async_trait::async_trait;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::{Unread, damaged, receive};
use super::context::Quiet;
use super::position::Positions;
use super::{KafkaOptions, config, error};
use crate::{BusError, Partition, Reader, Record};

/// Reads partitions from fixed offsets on.
pub(super) struct KafkaReader {
    consumer: StreamConsumer<Quiet>,
    positions: Positions,
    /// Whether something could not be read: whoever reads opens another reader where this one stopped.
    damaged: bool,
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
        let positions = Positions::from(from);
        Ok(Self {
            consumer,
            positions,
            damaged: false,
        })
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        if self.damaged {
            return Err(damaged("a topic that is followed"));
        }
        let records = match receive(&self.consumer).await {
            Ok(records) => records,
            Err(Unread::Bus(error)) => return Err(error),
            Err(Unread::Damaged) => {
                self.damaged = true;
                return Err(damaged("a topic that is followed"));
            }
        };
        self.positions.read(&records)?;
        Ok(records)
    }
}
