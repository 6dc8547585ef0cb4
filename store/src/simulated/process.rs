//! The tables as one process sees them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use relay_clock::Life;
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
    pub(super) chance: Mutex<SmallRng>,
}

pub(super) struct ProcessTables {
    pub(super) database: Arc<Database>,
    pub(super) life: Arc<Life>,
}

impl ProcessTables {
    /// Does it in one moment, or not at all; says what came of it while the process lives.
    async fn call<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        self.life.act().await;
        let faults = *self.database.faults.lock();
        let fate = faults.of_call(&mut *self.database.chance.lock());
        self.wait(fate.until_done).await;
        if !fate.is_done {
            return Err(StoreError::Unavailable(
                "the simulated tables are away".to_owned(),
            ));
        }
        let done = act(&mut self.database.state.lock());
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

#[async_trait]
impl Outcomes for ProcessTables {
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        self.call(|state| state.fold(outcomes, advances)).await
    }

    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError> {
        self.call(|state| Ok(state.has_ended(request))).await
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
        self.call(|state| {
            state.forget_before(before);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Traces for ProcessTables {
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError> {
        self.call(|state| Ok(state.find(request))).await
    }

    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        self.call(|state| Ok(state.list(filter))).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.call(|state| Ok(state.count())).await
    }

    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError> {
        self.call(|state| Ok(state.delete_before(before))).await
    }
}

#[async_trait]
impl database::Database for ProcessTables {
    async fn probe(&self) -> Result<(), StoreError> {
        self.call(|_| Ok(())).await
    }
}
