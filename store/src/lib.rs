//! The table seam: traces and winners in `SQLite` or Postgres. Only this crate knows SQL.

mod api;
mod columns;
mod error;
mod migrations;
mod postgres;
mod query;
mod sqlite;
pub mod winner;

pub use api::{Folded, Store, StoreError, Stored, TraceFilter, TraceSummary};
pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::{SqliteOptions, SqliteStore};
