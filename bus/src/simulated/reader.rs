//! A reader outside any group, as its process sees it.

use std::sync::Arc;

use async_trait::async_trait;

use super::process::{Delivery, Process};
use super::world::Risen;
use crate::{Bus, BusError, Partition, Reader, Record, StartAt};

pub(super) struct ProcessReader {
    process: Arc<Process>,
    /// Where to go on, should the log fall and rise.
    from: Vec<(Partition, StartAt)>,
    reader: Box<dyn Reader>,
    rise: u64,
    delivery: Delivery,
}

impl ProcessReader {
    pub(super) async fn open(
        process: &Arc<Process>,
        mut from: Vec<(Partition, StartAt)>,
        risen: &Risen,
    ) -> Result<Self, BusError> {
        for (partition, start) in &mut from {
            if *start == StartAt::End {
                *start = StartAt::Offset(risen.bus.range(partition).await?.high);
            }
        }
        Ok(Self {
            process: Arc::clone(process),
            reader: risen.bus.read(from.clone()).await?,
            from,
            rise: risen.rise,
            delivery: Delivery::default(),
        })
    }

    fn passed(&mut self, records: &[Record]) {
        for record in records {
            let mut places = self.from.iter_mut();
            if let Some((_, start)) = places.find(|(of, _)| *of == record.position.partition) {
                *start = StartAt::Offset(record.position.offset + 1);
            }
        }
    }
}

#[async_trait]
impl Reader for ProcessReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            self.process.connected().await;
            self.delivery.wait(&self.process).await;
            let risen = self.process.connected().await;
            if risen.rise != self.rise {
                let reader = risen.bus.read(self.from.clone()).await;
                self.reader = self.process.told(risen.rise, reader)?;
                self.rise = risen.rise;
            }
            let records = tokio::select! {
                biased;
                () = self.process.hindered() => continue,
                records = self.reader.next() => records,
            };
            match records {
                Err(_) if self.process.world.has_fallen(self.rise) => {}
                Err(error) => return self.process.told(self.rise, Err(error)),
                Ok(records) => {
                    self.passed(&records);
                    self.delivery = Delivery::default();
                    return Ok(self.process.travelled(records));
                }
            }
        }
    }
}
