//! Notices a client that brings nothing though the log holds more: after an outage librdkafka may say nothing at all for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_clock::Clock;
use tokio::task::JoinHandle;

use super::meta::Meta;
use super::metrics::Metrics;
use crate::{BusError, Partition};

/// How far partitions are read.
pub(super) type Places = HashMap<Partition, i64>;

/// What every reading client needs, to see whether it still reads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) meta: Arc<Meta>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    /// How long nothing may come before the log is asked whether there is something; found twice in a row, the client is replaced.
    pub(super) patience: Duration,
}

/// How often in a row a place must be behind while others flow: what lies ready of them may take its time.
const LOOKS_BESIDE_OTHERS: u32 = 6;

/// See the module.
pub(super) struct Standstill {
    watch: Watch,
    /// When the log was asked last, or nothing could come.
    since: Instant,
    late: Late,
    /// Kept here, so that a caller who gives up waiting does not start it over.
    looking: Option<JoinHandle<Result<Places, BusError>>>,
}

impl Standstill {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            since: watch.clock.instant(),
            watch,
            late: Late::default(),
            looking: None,
        }
    }

    /// Nothing could come until now.
    pub(super) fn over(&mut self) {
        self.since = self.watch.clock.instant();
        self.late = Late::default();
        self.looking = None;
    }

    /// Something came.
    pub(super) fn came(&mut self) {
        self.late.silent = 0;
    }

    /// Completes once the client must be replaced, and says why. `places` are those that are read, not paused. May be dropped and
    /// called again at any time.
    pub(super) async fn lasts(&mut self, places: impl Fn() -> Places) -> String {
        loop {
            let waited = self.watch.clock.since(self.since);
            if self.looking.is_none() && waited < self.watch.patience {
                tokio::time::sleep(self.watch.patience.saturating_sub(waited)).await;
                continue;
            }
            let meta = &self.watch.meta;
            let look = || {
                let (meta, places) = (Arc::clone(meta), places());
                tokio::spawn(async move { meta.ask(move |meta| unread(meta, &places)).await })
            };
            let looked = self.looking.get_or_insert_with(look).await;
            self.looking = None;
            self.since = self.watch.clock.instant();
            let unread = looked.map(Result::unwrap_or_default).unwrap_or_default();
            if let Some((Partition { topic, partition }, next)) = self.late.take(unread, &places()) {
                return format!("{topic}-{partition} is read to {next} and reaches further");
            }
        }
    }

    /// What is said when the client `name` is replaced.
    pub(super) fn replaced(&mut self, name: &str, unread: &str) -> BusError {
        self.over();
        self.watch.metrics.replaced(name);
        tracing::warn!(
            client = name,
            reason = unread,
            "a Kafka client brings nothing; it is replaced"
        );
        BusError::Unavailable(format!("nothing comes: {unread}; a new client tries"))
    }
}

/// The places behind which something lies.
fn unread(meta: &Meta, places: &Places) -> Result<Places, BusError> {
    let mut unread = Places::new();
    for (partition, next) in places {
        let held = meta.range(partition)?;
        if held.holds_behind(*next) {
            unread.insert(partition.clone(), *next);
        }
    }
    Ok(unread)
}

/// Which places stand still. Pure.
#[derive(Debug, Default)]
struct Late {
    /// In how many looks in a row each of these was behind, and where.
    looks: HashMap<Partition, (i64, u32)>,
    /// How many looks in a row found something and nothing at all came in between.
    silent: u32,
}

impl Late {
    /// Takes in what was `unread` of the places that are read to `now`; a place that has stood still for too long, if there is one.
    fn take(&mut self, unread: Places, now: &Places) -> Option<(Partition, i64)> {
        let before = std::mem::take(&mut self.looks);
        for (partition, next) in unread {
            if now.get(&partition) == Some(&next) {
                let looks = match before.get(&partition) {
                    Some((same, looks)) if *same == next => looks + 1,
                    _ => 1,
                };
                self.looks.insert(partition, (next, looks));
            }
        }
        self.silent = if self.looks.is_empty() { 0 } else { self.silent + 1 };
        let enough = if self.silent >= 2 { 2 } else { LOOKS_BESIDE_OTHERS };
        let stuck = self.looks.iter().find(|(_, (_, looks))| *looks >= enough)?;
        Some((stuck.0.clone(), stuck.1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(next: &[i64]) -> Places {
        let numbered = (0..).zip(next);
        numbered
            .map(|(number, next)| (Partition::new("t", number), *next))
            .collect()
    }

    #[test]
    fn a_client_that_brings_nothing_is_late_at_the_second_look() {
        let mut late = Late::default();
        assert_eq!(late.take(places(&[5]), &places(&[5])), None);
        assert_eq!(late.take(places(&[5]), &places(&[6])), None, "it came meanwhile");
        assert_eq!(late.take(places(&[6]), &places(&[6])), None);
        assert_eq!(
            late.take(places(&[6]), &places(&[6])),
            Some((Partition::new("t", 0), 6))
        );
    }

    #[test]
    fn one_partition_that_brings_nothing_is_late_though_others_flow() {
        let mut late = Late::default();
        for look in 1..LOOKS_BESIDE_OTHERS {
            let now = places(&[5, i64::from(look)]);
            assert_eq!(late.take(places(&[5]), &now), None, "look {look}");
            late.silent = 0;
        }
        let stuck = late.take(places(&[5]), &places(&[5, 99]));
        assert_eq!(stuck, Some((Partition::new("t", 0), 5)));
    }
}
