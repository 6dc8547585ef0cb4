//! The tables of a simulation: in memory, shared by all of its processes, and kept whatever becomes of those, as a database would.
//!
//! Compiled only with the feature `simulated`. Everything follows from a seed. `state` is what the tables hold and what each call does to them,
//! all or nothing; `trace` is one row of them; `faults` draws what happens to a call; `process` is the tables as one process sees them.

mod faults;
mod process;
mod state;
mod trace;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use relay_clock::Life;
use relay_schemas::RequestId;

use crate::Tables;
pub use faults::Faults;
use process::{Database, ProcessTables};

/// The tables of a simulation. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct SimulatedTables(Arc<Database>);

impl SimulatedTables {
    /// Empty tables, without faults.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Database {
            state: Mutex::default(),
            faults: Mutex::default(),
            seed,
            processes: AtomicU64::new(0),
        }))
    }

    /// The tables as a process has them, as long as it lives. What happens to its calls follows from the seed and from how many
    /// processes there were before it.
    pub fn process(&self, life: Arc<Life>) -> Tables {
        Arc::new(ProcessTables::new(Arc::clone(&self.0), life)).into()
    }

    /// What may happen to calls from now on.
    pub fn disturb(&self, faults: Faults) {
        *self.0.faults.lock() = faults;
    }

    /// Empties all tables, as somebody does from outside.
    pub fn empty(&self) {
        self.0.state.lock().forget_all();
    }

    /// Refuses the outcomes of this request from now on, as data that no table holds.
    pub fn refuse(&self, request: &RequestId) {
        self.0.state.lock().refuse(request);
    }
}
