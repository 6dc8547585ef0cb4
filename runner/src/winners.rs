//! Who won, for as long as a second outcome is likely: the first outcome of a request in partition order wins.
//!
//! Outcomes of one request lie in one partition. After a start or a takeover the memory is read back from the log, because
//! restarts are just when second outcomes appear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::{Bus, BusError, Partition, Position, Record};
use relay_schemas::{Registry, RequestId, TimestampMs};
use tokio::sync::OnceCell;

use crate::outcome::read_outcome;
use crate::recent::Recent;
use crate::schemas::{decode_known, refresh_schemas};
use crate::stage::StageError;
use crate::stretch::Stretch;

/// What an outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The first of its request, as far as is remembered; or the same record once more.
    Winner,
    /// Another one came before.
    Superseded,
}

/// The newest winners of one partition, with the offset of each.
#[derive(Debug)]
struct PartitionWinners(Recent<RequestId, i64>);

impl PartitionWinners {
    /// `first` is where the record at `offset` was written: elsewhere only where an operator put it back.
    fn note(&mut self, request: &RequestId, (first, offset): (i64, i64)) -> Standing {
        // Kept by number alone: offsets serve as the time.
        let now = TimestampMs(offset);
        match self.0.get(request, now) {
            Some(winner) if *winner != first => Standing::Superseded,
            Some(_) => Standing::Winner,
            None => {
                self.0.insert(request.clone(), first, now);
                Standing::Winner
            }
        }
    }
}

/// The memory of every partition that this instance reads. For stages that decide in order ([`crate::StageOptions::in_order`]).
pub struct Winners {
    bus: Arc<dyn Bus>,
    schemas: Arc<Registry>,
    most: usize,
    partitions: Mutex<Partitions>,
}

#[derive(Default)]
struct Partitions {
    owned: HashSet<Partition>,
    memories: HashMap<Partition, Arc<OnceCell<Mutex<PartitionWinners>>>>,
}

impl Winners {
    /// Remembers the newest `most` winners of each partition.
    pub fn new(bus: Arc<dyn Bus>, schemas: Arc<Registry>, most: usize) -> Self {
        Self {
            bus,
            schemas,
            most,
            partitions: Mutex::default(),
        }
    }

    /// What `record`, an outcome of `request`, is. Must be asked in partition order. One that an operator put back is the same
    /// outcome once more: whoever could not use it before, but could read it since, does not take it for a second one.
    ///
    /// # Errors
    /// If the log, from which the memory is read back, cannot be read now.
    pub async fn note(&self, request: &RequestId, record: &Record) -> Result<Standing, StageError> {
        let position = &record.position;
        let cell = self
            .partitions
            .lock()
            .memories
            .entry(position.partition.clone())
            .or_default()
            .clone();
        let memory = cell
            .get_or_try_init(|| self.read_back(position))
            .await
            .map_err(unavailable)?;
        Ok(memory
            .lock()
            .note(request, (record.first_offset(), position.offset)))
    }

    /// Forgets what is not owned now, and what was not owned until now: a record that was still at work when its partition was
    /// lost may have left a memory that lacks what others noted meanwhile.
    pub fn keep(&self, owned: &[Partition]) {
        let mut partitions = self.partitions.lock();
        let owned = owned.iter().cloned().collect();
        let before = std::mem::replace(&mut partitions.owned, owned);
        let Partitions { owned, memories } = &mut *partitions;
        memories.retain(|partition, _| owned.contains(partition) && before.contains(partition));
    }

    /// What won just before `position`.
    async fn read_back(&self, position: &Position) -> Result<Mutex<PartitionWinners>, BusError> {
        let mut memory = PartitionWinners(Recent::new(self.most));
        let low = self.bus.range(&position.partition).await?.low;
        let window = i64::try_from(self.most).unwrap_or(i64::MAX);
        let from = position.offset.saturating_sub(window).max(low);
        let mut before =
            Stretch::between(&*self.bus, position.partition.clone(), from, position.offset).await?;
        let mut refreshed = false;
        while let Some(record) = before.next().await? {
            let once = || {
                let again = std::mem::replace(&mut refreshed, true);
                async move {
                    if again {
                        return Ok(());
                    }
                    refresh_schemas(&*self.bus, &self.schemas).await
                }
            };
            let outcome = decode_known(|| read_outcome(&self.schemas, &record), once).await?;
            // What cannot be decoded is no outcome.
            if let Ok(outcome) = outcome {
                let offset = record.position.offset;
                memory.note(&outcome.request_id, (record.first_offset(), offset));
            }
        }
        Ok(Mutex::new(memory))
    }
}

fn unavailable(error: BusError) -> StageError {
    match error {
        BusError::Fatal(reason) => StageError::Fatal(reason),
        error => StageError::Unavailable {
            dependency: "bus",
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outcome_wins_and_redelivery_does_not_change_it() {
        let mut memory = PartitionWinners(Recent::new(10));
        let request = RequestId::new("r");
        assert_eq!(memory.note(&request, (5, 5)), Standing::Winner);
        assert_eq!(memory.note(&request, (9, 9)), Standing::Superseded);
        assert_eq!(memory.note(&request, (5, 5)), Standing::Winner);
    }

    #[test]
    fn an_outcome_that_was_put_back_is_the_one_that_it_was() {
        let mut memory = PartitionWinners(Recent::new(10));
        let request = RequestId::new("r");
        assert_eq!(memory.note(&request, (800, 800)), Standing::Winner);
        assert_eq!(memory.note(&request, (850, 850)), Standing::Superseded);
        assert_eq!(memory.note(&request, (800, 900)), Standing::Winner);
        assert_eq!(memory.note(&request, (850, 901)), Standing::Superseded);
        // Where the first was never read, what was put back is the first.
        let unread = RequestId::new("u");
        assert_eq!(memory.note(&unread, (700, 902)), Standing::Winner);
        assert_eq!(memory.note(&unread, (903, 903)), Standing::Superseded);
        assert_eq!(memory.note(&unread, (700, 902)), Standing::Winner, "redelivered");
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = PartitionWinners(Recent::new(2));
        for (offset, id) in ["a", "b", "c"].into_iter().enumerate() {
            memory.note(&RequestId::new(id), (offset as i64, offset as i64));
        }
        assert_eq!(memory.0.len(), 2);
        assert_eq!(memory.note(&RequestId::new("c"), (9, 9)), Standing::Superseded);
        assert_eq!(
            memory.note(&RequestId::new("a"), (10, 10)),
            Standing::Winner,
            "forgotten"
        );
    }
}
