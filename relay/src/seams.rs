//! The four seams, made from configuration: the embedded column needs nothing, the production column needs servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus, KafkaOptions};
use relay_clock::Clock;
use relay_control::{Control, InProcessControl, InProcessOptions, NatsControl, NatsOptions};
use relay_schemas::Registry;
use relay_store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Tables};
use serde::Deserialize;

/// The embedded log, below the data folder.
pub(crate) const LOG: &str = "log";
/// The tables, below the data folder.
pub(crate) const TABLES: &str = "relay.sqlite";

/// The log seam.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "kind", rename_all = "snake_case")]
pub enum BusConfig {
    /// In this process, under the data folder.
    Embedded(EmbeddedOptions),
    /// Apache Kafka, or what speaks its protocol.
    Kafka(KafkaOptions),
}

/// The reply and control seam.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "kind", rename_all = "snake_case")]
pub enum ControlConfig {
    /// In this process.
    InProcess(InProcessOptions),
    /// NATS.
    Nats(Box<NatsOptions>),
}

/// The table seam.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "kind", rename_all = "snake_case")]
pub enum StoreConfig {
    /// A file under the data folder.
    #[default]
    Sqlite,
    /// Postgres.
    Postgres(PostgresOptions),
}

impl Default for BusConfig {
    fn default() -> Self {
        Self::Embedded(EmbeddedOptions::default())
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self::InProcess(InProcessOptions::default())
    }
}

impl BusConfig {
    /// Opens or connects the bus. A broker that is away is no error here: it is waited for.
    pub fn open(&self, data: &Path, manifest: &Manifest, clock: &Clock) -> anyhow::Result<Arc<dyn Bus>> {
        Ok(match self {
            Self::Embedded(options) => Arc::new(EmbeddedBus::open(
                data.join(LOG),
                manifest,
                options.clone(),
                clock,
            )?),
            Self::Kafka(options) => {
                Arc::new(KafkaBus::connect(options.clone(), clock).context("the Kafka clients")?)
            }
        })
    }
}

impl ControlConfig {
    /// Connects the control seam, which reads other versions' messages by `schemas`; NATS being away is no error here.
    pub async fn open(&self, schemas: Arc<Registry>) -> anyhow::Result<Arc<dyn Control>> {
        Ok(match self {
            Self::InProcess(options) => {
                Arc::new(InProcessControl::new(options.clone()).with_schemas(schemas))
            }
            Self::Nats(options) => Arc::new(
                NatsControl::connect(NatsOptions::clone(options))
                    .await
                    .context("the NATS client")?
                    .with_schemas(schemas),
            ),
        })
    }
}

impl StoreConfig {
    /// Where `SQLite` keeps the tables, under the data folder.
    pub fn file(data: &Path) -> PathBuf {
        data.join(TABLES)
    }

    /// Prepares the store, which is opened when it is needed: a Postgres that is away and a file that cannot be opened are no error here.
    pub fn open(&self, data: &Path, clock: &Clock) -> anyhow::Result<Tables> {
        Ok(match self {
            Self::Sqlite => {
                let (file, options) = (Self::file(data), SqliteOptions::default());
                Arc::new(SqliteStore::at(&file, options, clock.clone())).into()
            }
            Self::Postgres(options) => {
                Arc::new(PostgresStore::connect(options.clone()).context("the Postgres client")?).into()
            }
        })
    }
}
