//! The four seams, made from configuration: the embedded column needs nothing, the production column needs servers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus, KafkaOptions};
use relay_control::{Control, InProcessControl, InProcessOptions, NatsControl, NatsOptions};
use relay_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
use serde::Deserialize;

/// The log seam.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BusConfig {
    /// In this process, under the data folder.
    #[default]
    Embedded,
    /// Apache Kafka, or what speaks its protocol.
    Kafka {
        /// `host:port`, several separated by commas.
        brokers: String,
        /// Handed to librdkafka as they are: `security.protocol`, `sasl.mechanism`, …
        #[serde(default)]
        properties: BTreeMap<String, String>,
    },
}

/// The reply and control seam.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlConfig {
    /// In this process.
    #[default]
    InProcess,
    /// NATS.
    Nats(NatsOptions),
}

/// The table seam.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreConfig {
    /// A file under the data folder.
    #[default]
    Sqlite,
    /// Postgres.
    Postgres(PostgresOptions),
}

impl BusConfig {
    /// Opens or connects the bus. A broker that is away is no error here: it is waited for.
    pub async fn open(&self, data: &Path, manifest: &Manifest) -> anyhow::Result<Arc<dyn Bus>> {
        Ok(match self {
            Self::Embedded => {
                let folder = data.join("log");
                let opened = EmbeddedBus::open(&folder, manifest, EmbeddedOptions::default());
                Arc::new(opened.with_context(|| format!("the embedded log in {}", folder.display()))?)
            }
            Self::Kafka { brokers, properties } => {
                let options = KafkaOptions { properties: properties.clone(), ..KafkaOptions::new(brokers) };
                Arc::new(KafkaBus::connect(options).context("the Kafka clients")?)
            }
        })
    }
}

impl ControlConfig {
    /// Connects the control seam; NATS being away is no error here.
    pub async fn open(&self) -> anyhow::Result<Arc<dyn Control>> {
        Ok(match self {
            Self::InProcess => Arc::new(InProcessControl::new(InProcessOptions::default())),
            Self::Nats(options) => Arc::new(NatsControl::connect(options.clone()).await.context("the NATS client")?),
        })
    }
}

impl StoreConfig {
    /// Opens the store; Postgres being away is no error here.
    pub async fn open(&self, data: &Path) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite => {
                let file: PathBuf = data.join("relay.sqlite");
                Arc::new(SqliteStore::open(&file).await.with_context(|| file.display().to_string())?)
            }
            Self::Postgres(options) => Arc::new(PostgresStore::connect(options.clone()).context("the Postgres client")?),
        })
    }
}
