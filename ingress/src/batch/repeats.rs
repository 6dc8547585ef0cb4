//! Lines that may have been taken in before. What is put off is not committed, so what passed it is read again after a restart; if it
//! has ended since, it would run and be paid again. The sink remembers for longer than the stages do, so nothing is done about such a
//! line before the sink has told, however long that takes: meanwhile batch intake waits, and what is not batch goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::{Bus, Partition, Position};
use relay_runner::Health;
use relay_schemas::RequestId;

use crate::answers::questions::{CannotTell, Questions, Told};

/// The sink, as `/readyz` shows it.
const SINK: &str = "sink";
/// Pause between two questions to a sink that cannot tell.
const PAUSE: Duration = Duration::from_millis(250);

/// Tells what has ended before.
pub struct Repeats {
    questions: Questions,
    /// Where a silent sink is told of.
    health: Health,
    silent: AtomicBool,
    /// Of each partition that is owned, where it ended when it came to be.
    ends: Mutex<BTreeMap<Partition, i64>>,
}

impl Repeats {
    /// Nothing is owned yet.
    pub fn new(questions: Questions, health: Health) -> Self {
        Self {
            questions,
            health,
            silent: AtomicBool::new(false),
            ends: Mutex::default(),
        }
    }

    /// Whether the request of the line at `position` has ended, as far as the sink knows; waits for a sink that cannot tell. Only what
    /// lay there before its partition was owned is asked for.
    pub async fn has_ended(&self, position: &Position, request: &RequestId) -> bool {
        let end = self.ends.lock().get(&position.partition).copied();
        if end.is_some_and(|end| position.offset >= end) {
            return false;
        }
        loop {
            let told = self.questions.winner(request).await;
            self.tell(&told);
            match told {
                Ok(told) => return !matches!(told, Told::Unended(_)),
                Err(CannotTell) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn tell(&self, told: &Result<Told, CannotTell>) {
        let silent = told.is_err();
        if self.silent.swap(silent, Ordering::AcqRel) == silent {
            return;
        }
        if silent {
            let reason =
                "batch lines wait for the trace sink: it does not tell which of them have ended before";
            tracing::warn!("{reason}");
            self.health.degraded(SINK, reason);
        } else {
            tracing::info!("the trace sink tells again which batch lines have ended before");
            self.health.up(SINK);
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
