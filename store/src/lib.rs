//! The table seam: traces and winners in SQLite or Postgres. Only this crate knows SQL.

mod api;

pub use api::{Folded, Store, StoreError, Stored, TraceFilter, TraceSummary};
