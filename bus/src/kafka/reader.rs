//! Reading outside any group.

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};

use super::blocking::dispose;
use super::consumer::{Received, damaged, receive};
use super::context::Quiet;
use super::position::Positions;
use super::rouse::{Rouse, rouse};
use super::standstill::{Places, Standstill, Watch};
use super::{KafkaOptions, config, error};
use crate::{BusError, Partition, Reader, Record};

type Client = StreamConsumer<Quiet>;

/// Reads partitions from fixed offsets on.
pub(super) struct KafkaReader {
    options: KafkaOptions,
    /// `None` only while it is dropped.
    client: Option<Arc<Client>>,
    positions: Positions,
    standstill: Standstill,
    rouse: Rouse,
    /// It came upon a damaged batch behind what it handed out last.
    damaged: bool,
}

impl KafkaReader {
    pub(super) fn open(options: &KafkaOptions, from: Places, watch: Watch) -> Result<Self, BusError> {
        Ok(Self {
            client: Some(assign(options, &from)?),
            options: options.clone(),
            positions: Positions::from(from),
            rouse: Rouse::new(&watch.clock),
            standstill: Standstill::new(watch),
            damaged: false,
        })
    }

    #[cfg(test)]
    pub(super) fn client(&self) -> &Client {
        self.client.as_ref().expect("only dropping takes it out")
    }

    /// Reads on where this reader stopped, with another client.
    fn renew(&mut self) -> Result<(), BusError> {
        let fresh = assign(&self.options, self.positions.all())?;
        dispose(self.client.replace(fresh));
        Ok(())
    }
}

fn assign(options: &KafkaOptions, from: &Places) -> Result<Arc<Client>, BusError> {
    let open = || {
        let client: Client = config::reader(options).create_with_context(Quiet::default())?;
        let mut list = TopicPartitionList::with_capacity(from.len());
        for (Partition { topic, partition }, offset) in from {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        client.assign(&list)?;
        Ok(Arc::new(client))
    };
    open().map_err(|error| error::of(&error, ""))
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            if self.damaged {
                self.renew()?;
                self.damaged = false;
                return Err(damaged("a topic that is followed"));
            }
            // Given to `dispose` where it is replaced: whoever lets the last of it go waits for the broker.
            let client = self.client.clone().expect("only dropping takes it out");
            let positions = &self.positions;
            let received = tokio::select! {
                biased;
                unread = self.standstill.lasts(|| positions.all().clone()) => {
                    self.renew()?;
                    dispose(client);
                    return Err(self.standstill.replaced("reader", &unread));
                }
                () = self.rouse.due() => {
                    rouse(client);
                    continue;
                }
                received = receive(client.as_ref()) => received,
            };
            self.standstill.came();
            let Received { records, damaged } = received?;
            self.damaged = damaged;
            if !records.is_empty() {
                self.positions.read(&records)?;
                return Ok(records);
            }
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        dispose(self.client.take());
    }
}
