//! The raw log, folded by nothing but the winner rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use relay_bus::topics::{self, Manifest};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, KafkaBus, KafkaOptions, Partition, Record, StartAt};
use relay_schemas::{BatchRequest, BatchResult, Outcome, Registry, Request, RequestId, TenantId};

/// A batch line, by tenant, batch id and custom id.
pub type Line = (TenantId, String, String);

/// What the log says.
#[derive(Default)]
pub struct Ledger {
    /// Every accepted request, the first record of each id.
    pub accepted: BTreeMap<RequestId, Request>,
    /// The first outcome of each id in partition order, with where it lies. Refusals are not among them: they were never accepted.
    pub winners: BTreeMap<RequestId, (Outcome, i32, i64)>,
    /// Outcomes that came second.
    pub superseded: usize,
    /// Every batch line that the log took.
    pub batch_lines: BTreeSet<Line>,
    /// Distinct results of batch lines, with how many records each has.
    pub batch_results: BTreeMap<Line, Vec<BatchResult>>,
    /// Records of each topic.
    pub records: BTreeMap<String, i64>,
}

/// The manifest that the executable was built with.
pub fn manifest() -> Manifest {
    let text = std::fs::read_to_string(crate::files::root().join("deploy/topics.yaml"))
        .expect("it is in the checkout");
    Manifest::parse(&text).expect("a test of the relay crate parses it")
}

/// Opens the log of a dead embedded gateway, with the topics that it was configured with.
pub fn embedded(data: &Path) -> anyhow::Result<Arc<dyn Bus>> {
    let own = data.with_file_name("topics.yaml");
    let manifest = match std::fs::read_to_string(own) {
        Ok(text) => Manifest::parse(&text).map_err(|mistake| anyhow::anyhow!("{mistake}"))?,
        Err(_) => manifest(),
    };
    Ok(Arc::new(EmbeddedBus::open(
        data.join("log"),
        &manifest,
        EmbeddedOptions::default(),
        &relay_clock::Clock::system(),
    )?))
}

/// Connects to the brokers that the harness started.
pub fn kafka() -> anyhow::Result<Arc<dyn Bus>> {
    let brokers = crate::gateway::server("RELAY_KAFKA_BROKERS")?;
    Ok(Arc::new(KafkaBus::connect(
        KafkaOptions::new(&brokers),
        &relay_clock::Clock::system(),
    )?))
}

/// Reads the whole log.
pub async fn read(bus: &dyn Bus) -> anyhow::Result<Ledger> {
    let registry = Registry::default();
    let mut ledger = Ledger::default();
    for record in all(bus, topics::REQUESTS).await? {
        if let Ok(request) = registry.decode::<Request>(record.value.as_deref()) {
            ledger
                .accepted
                .entry(request.request_id.clone())
                .or_insert(request);
        }
    }
    for record in all(bus, topics::OUTCOMES).await? {
        let Ok(outcome) = registry.decode::<Outcome>(record.value.as_deref()) else {
            continue;
        };
        if outcome.status == relay_schemas::OutcomeStatus::Refused {
            continue;
        }
        if ledger.winners.contains_key(&outcome.request_id) {
            ledger.superseded += 1;
        } else {
            let place = (record.position.partition.partition, record.position.offset);
            ledger
                .winners
                .insert(outcome.request_id.clone(), (outcome, place.0, place.1));
        }
    }
    for record in all(bus, topics::BATCH_REQUESTS).await? {
        if let Ok(line) = registry.decode::<BatchRequest>(record.value.as_deref()) {
            let line = (line.tenant, line.batch_id, line.custom_id);
            ledger.batch_lines.insert(line);
        }
    }
    for record in all(bus, topics::BATCH_RESULTS).await? {
        if let Ok(result) = registry.decode::<BatchResult>(record.value.as_deref()) {
            let line = (
                result.tenant.clone(),
                result.batch_id.clone(),
                result.custom_id.clone(),
            );
            ledger.batch_results.entry(line).or_default().push(result);
        }
    }
    for topic in manifest().expanded() {
        ledger
            .records
            .insert(topic.name.clone(), count(bus, &topic.name).await?);
    }
    Ok(ledger)
}

/// Every record of a topic up to its present end, partition by partition.
pub async fn all(bus: &dyn Bus, topic: &str) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for partition in 0..bus.partitions(topic).await? {
        let partition = Partition::new(topic, partition);
        let range = bus.range(&partition).await?;
        let mut next = range.low;
        if next == range.high {
            continue;
        }
        let mut reader = bus.read(vec![(partition, StartAt::Start)]).await?;
        while next < range.high {
            for record in reader.next().await? {
                next = record.position.offset + 1;
                records.push(record);
            }
        }
    }
    Ok(records)
}

/// How many records a topic holds.
pub async fn count(bus: &dyn Bus, topic: &str) -> anyhow::Result<i64> {
    let mut sum = 0;
    for partition in 0..bus.partitions(topic).await? {
        let range = bus.range(&Partition::new(topic, partition)).await?;
        sum += range.high - range.low;
    }
    Ok(sum)
}
