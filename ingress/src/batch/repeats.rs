//! Lines that may have been taken in before. What is put off is not committed, so what passed it is read again after a restart; if it
//! has ended since, it would run and be paid again. The sink remembers for longer than the stages do.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::{Bus, Partition, Position};
use relay_clock::Clock;
use relay_schemas::RequestId;

use crate::answers::questions::{Questions, Told};

/// Pause between two questions to a sink that cannot tell.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells what has ended before.
pub struct Repeats {
    /// Asks the sink.
    pub questions: Questions,
    /// How long a sink is waited for that cannot tell.
    pub patience: Duration,
    /// For how long.
    pub clock: Clock,
    /// Of each partition that is owned, where it ended when it came to be.
    pub ends: Mutex<BTreeMap<Partition, i64>>,
}

impl Repeats {
    /// Whether the request of the line at `position` has ended, as far as the sink knows. Only what lay there before its partition was
    /// owned is asked for.
    pub async fn has_ended(&self, position: &Position, request: &RequestId) -> bool {
        let end = self.ends.lock().get(&position.partition).copied();
        if end.is_some_and(|end| position.offset >= end) {
            return false;
        }
        let began = self.clock.instant();
        loop {
            match self.questions.winner(request).await {
                Ok(told) => return told != Told::Unended,
                // The stages drop what they remember.
                Err(_) if self.clock.since(began) >= self.patience => return false,
                Err(_) => tokio::time::sleep(PAUSE.min(self.patience)).await,
            }
        }
    }

    /// These partitions are owned from now on.
    pub async fn keep(&self, bus: &dyn Bus, owned: &[Partition]) {
        let mut ends = std::mem::take(&mut *self.ends.lock());
        ends.retain(|partition, _| owned.contains(partition));
        for partition in owned {
            if ends.contains_key(partition) {
                continue;
            }
            // Where it cannot be told now, everything is asked for.
            if let Ok(range) = bus.range(partition).await {
                ends.insert(partition.clone(), range.high);
            }
        }
        *self.ends.lock() = ends;
    }
}
