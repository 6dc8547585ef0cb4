//! The two buses, each with five fresh topics.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus, KafkaOptions};

use super::written::Meter;

/// Topics in a row.
pub const HOPS: usize = 5;
/// Partitions of each, as `deploy/topics.yaml` has it.
pub const PARTITIONS: i32 = 6;

/// Which bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The embedded log, in a new folder under this one.
    Embedded(PathBuf),
    /// Kafka.
    Kafka {
        /// The brokers' addresses.
        brokers: String,
        /// What shows the bytes that they write.
        meter: Meter,
    },
}

/// A bus and its five topics; embedded data is deleted with it.
pub struct Ready {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// In the order of the flow.
    pub topics: Vec<String>,
    folder: Option<tempfile::TempDir>,
}

impl Column {
    /// As the table names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Kafka { .. } => "Kafka",
        }
    }

    /// What shows the bytes that this log's keeper writes.
    pub fn meter(&self) -> Meter {
        match self {
            Self::Embedded(_) => Meter::own(),
            Self::Kafka { meter, .. } => meter.clone(),
        }
    }

    /// The folder whose disk holds the log, where it is ours.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Embedded(under) => Some(under),
            Self::Kafka { .. } => None,
        }
    }

    /// Makes the bus and the topics.
    pub async fn open(&self) -> Result<Ready> {
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let topics: Vec<String> = (0..HOPS).map(|hop| format!("bench.hop{hop}.{run}")).collect();
        let manifest = manifest(&topics)?;
        let (bus, folder): (Arc<dyn Bus>, _) = match self {
            Self::Embedded(under) => {
                let folder = tempfile::Builder::new().prefix("bench-hop-").tempdir_in(under)?;
                let bus = EmbeddedBus::open(
                    folder.path(),
                    &manifest,
                    EmbeddedOptions::default(),
                    &relay_clock::Clock::system(),
                )?;
                (Arc::new(bus), Some(folder))
            }
            Self::Kafka { brokers, .. } => {
                let bus = KafkaBus::connect(KafkaOptions::new(brokers), &relay_clock::Clock::system())?;
                bus.apply(&manifest).await.context("making the topics")?;
                (Arc::new(bus), None)
            }
        };
        Ok(Ready { bus, topics, folder })
    }
}

impl Ready {
    /// Closes the bus and deletes what it wrote.
    pub fn close(self) -> Result<()> {
        drop(self.bus);
        self.folder.map_or(Ok(()), tempfile::TempDir::close)?;
        Ok(())
    }
}

fn manifest(topics: &[String]) -> Result<Manifest> {
    let mut yaml = "pools: [default]\ntopics:\n".to_owned();
    for (hop, name) in topics.iter().enumerate() {
        let on_disk = hop == 0;
        writeln!(
            yaml,
            "  - {{ name: {name}, partitions: {PARTITIONS}, retention: 1d, on_disk: {on_disk} }}"
        )?;
    }
    Manifest::parse(&yaml).map_err(|error| anyhow!(error))
}
