//! The databases themselves: how each is opened, reached and given its tables.

mod making;
mod migration;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;

use crate::error::StoreError;

/// An opened database, whatever it holds.
#[async_trait]
pub trait Database: Send + Sync + 'static {
    /// Answers if the database can be reached now.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// What every pool of connections has: a most, never none, and a longest wait for one of them.
fn pool<DB: sqlx::Database>(most: u32, patience: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(most.max(1))
        .acquire_timeout(patience)
}
