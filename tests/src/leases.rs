//! The work topics as they grow: who was leased what, and when.

use std::time::Duration;

use anyhow::Context;
use relay_bus::{Bus, Partition, Reader, StartAt, topics};
use relay_schemas::{Registry, TimestampMs, Work};

/// A work record, and when it was appended.
pub type Leased = (TimestampMs, Work);

/// Reads work records from now on.
pub struct Leases {
    reader: Box<dyn Reader>,
    registry: Registry,
}

impl Leases {
    /// Whatever is appended after this returns will be read.
    pub async fn from_now(bus: &dyn Bus) -> anyhow::Result<Self> {
        let mut from = Vec::new();
        for topic in [topics::work_short("default"), topics::work_long("default")] {
            for number in 0..bus.partitions(&topic).await? {
                let partition = Partition::new(&topic, number);
                let end = bus.range(&partition).await?.high;
                from.push((partition, StartAt::Offset(end)));
            }
        }
        Ok(Self {
            reader: bus.read(from).await?,
            registry: Registry::default(),
        })
    }

    /// The next of them, waited for at most so long.
    pub async fn next(&mut self, most: Duration) -> anyhow::Result<Vec<Leased>> {
        let records = tokio::time::timeout(most, self.reader.next())
            .await
            .with_context(|| format!("nothing was leased within {most:?}"))??;
        let decoded = records.iter().filter_map(|record| {
            let work = self.registry.decode::<Work>(record.value.as_deref()).ok()?;
            Some((record.timestamp, work))
        });
        Ok(decoded.collect())
    }

    /// Reads on until `found` answers for a record.
    ///
    /// # Errors
    /// If nothing was leased for `most`, or nothing found in twice the time.
    pub async fn find<T>(
        &mut self,
        most: Duration,
        mut found: impl FnMut(&Leased) -> Option<T>,
    ) -> anyhow::Result<T> {
        let search = async {
            loop {
                if let Some(answer) = self.next(most).await?.iter().find_map(&mut found) {
                    return anyhow::Ok(answer);
                }
            }
        };
        tokio::time::timeout(2 * most, search)
            .await
            .with_context(|| format!("what was looked for was not leased within {:?}", 2 * most))?
    }
}

/// Everything that was leased since then.
pub async fn since(bus: &dyn Bus, then: TimestampMs) -> anyhow::Result<Vec<Leased>> {
    let registry = Registry::default();
    let mut leased = Vec::new();
    for topic in [topics::work_short("default"), topics::work_long("default")] {
        for record in crate::ledger::all(bus, &topic).await? {
            if record.timestamp < then {
                continue;
            }
            if let Ok(work) = registry.decode::<Work>(record.value.as_deref()) {
                leased.push((record.timestamp, work));
            }
        }
    }
    Ok(leased)
}
