//! The databases themselves: how each is opened, reached and given its tables.

mod migration;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use async_trait::async_trait;

use crate::error::StoreError;

/// An opened database, whatever it holds.
#[async_trait]
pub trait Database: Send + Sync + 'static {
    /// Answers if the database can be reached now.
    async fn probe(&self) -> Result<(), StoreError>;
}
