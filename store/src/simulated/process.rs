//! The tables as one process sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use relay_clock::{Life, seed_of};
use relay_schemas::{RequestId, TimestampMs};

use super::faults::Faults;
use super::state::State;
use crate::database;
use crate::error::StoreError;
use crate::logged::LoggedOutcome;
use crate::outcomes::{Advance, Outcomes, Positions, Verdict};
use crate::traces::{TraceFilter, TraceSummary, Traces};

/// What outlives each process.
pub(super) struct Database {
    pub(super) state: Mutex<State>,
    pub(super) faults: Mutex<Faults>,
    pub(super) seed: u64,
    /// How many there were.
    pub(super) processes: AtomicU64,
}

pub(super) struct ProcessTables {
    database: Arc<Database>,
    life: Arc<Life>,
    /// Of its own, so that what happens to one process changes nothing of another's chance.
    chance: Mutex<SmallRng>,
}

impl ProcessTables {
    pub(super) fn new(database: Arc<Database>, life: Arc<Life>) -> Self {
        let nth = database.processes.fetch_add(1, Ordering::Relaxed);
        let chance = SmallRng::seed_from_u64(seed_of(database.seed, "tables", nth));
        Self {
            database,
            life,
            chance: Mutex::new(chance),
        }
    }

    /// Does it in one moment, or not at all; says what came of it while the process lives.
    async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.life.act().await;
        let faults = *self.database.faults.lock();
        let fate = faults.of_call(&mut *self.chance.lock());
        self.wait(fate.until_left).await;
        if !fate.is_done {
            self.wait(fate.until_done).await;
            return Err(StoreError::Unavailable(
                "the simulated tables are away".to_owned(),
            ));
        }
        let done = self.database.act(act, fate.until_done).await;
        self.wait(fate.until_told).await;
        if !fate.is_told {
            let reason = "the simulated tables were lost sight of, and it is done";
            return Err(StoreError::Unavailable(reason.to_owned()));
        }
        done
    }

    async fn wait(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.life.act().await;
    }
}

impl Database {
    /// Acts after `pause`, whether anybody still waits for it or not.
    async fn act<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut State) -> Result<T, StoreError> + Send + 'static,
        pause: Duration,
    ) -> Result<T, StoreError> {
        if pause.is_zero() {
            return act(&mut self.state.lock());
        }
        let database = Arc::clone(self);
        let acting = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            act(&mut database.state.lock())
        });
        let lost = |error| StoreError::Unavailable(format!("the simulated tables have ended: {error}"));
        acting.await.map_err(lost)?
    }
}

#[async_trait]
impl Outcomes for ProcessTables {
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        let (outcomes, advances) = (outcomes.to_vec(), advances.to_vec());
        self.call(move |state| state.fold(&outcomes, &advances)).await
    }

    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError> {
        let request = request.clone();
        self.call(move |state| Ok(state.has_ended(&request))).await
    }

    async fn folded(&self) -> Result<Positions, StoreError> {
        self.call(|state| Ok(state.folded())).await
    }

    async fn forget_all(&self) -> Result<(), StoreError> {
        self.call(|state| {
            state.forget_all();
            Ok(())
        })
        .await
    }

    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError> {
        self.call(move |state| {
            state.forget_before(before);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Traces for ProcessTables {
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError> {
        let request = request.clone();
        self.call(move |state| Ok(state.find(&request))).await
    }

    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let filter = filter.clone();
        self.call(move |state| Ok(state.list(&filter))).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.call(|state| Ok(state.count())).await
    }

    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError> {
        self.call(move |state| Ok(state.delete_before(before))).await
    }
}

#[async_trait]
impl database::Database for ProcessTables {
    async fn probe(&self) -> Result<(), StoreError> {
        self.call(|_| Ok(())).await
    }
}
