//! The table seam: `SQLite` or Postgres, a folder a subject. Only this crate knows SQL.
//!
//! Each subject is one small trait that both databases implement, and one contract suite (`tests/suite/`) that both pass.

mod asked;
pub mod database;
mod error;
mod logged;
mod migrations;
pub mod outcomes;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod traces;

use std::sync::Arc;

pub use asked::{Asked, is_in_own_words};
pub use database::Database;
pub use database::postgres::{PostgresOptions, PostgresStore};
pub use database::sqlite::copy::copy as copy_sqlite;
pub use database::sqlite::{SqliteOptions, SqliteStore};
pub use error::StoreError;
pub use logged::LoggedOutcome;
pub use outcomes::{Advance, Folded, Outcomes, Positions, Verdict};
pub use traces::{TraceFilter, TraceSummary, Traces};

/// The subjects of one opened database, for the process that hands each service those that it uses.
#[derive(Clone)]
pub struct Tables {
    /// Which record ended each request.
    pub outcomes: Arc<dyn Outcomes>,
    /// Each request's story.
    pub traces: Arc<dyn Traces>,
    /// The database itself.
    pub database: Arc<dyn Database>,
}

impl<S: Outcomes + Traces + Database> From<Arc<S>> for Tables {
    fn from(store: Arc<S>) -> Self {
        Self {
            outcomes: store.clone(),
            traces: store.clone(),
            database: store,
        }
    }
}
