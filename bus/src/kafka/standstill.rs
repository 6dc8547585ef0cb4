//! Notices a client that brings nothing though the log holds more: after an outage librdkafka may say nothing at all for ever.

use std::collections::{HashMap, HashSet};
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

/// How many questions of one look may go unanswered before it ends.
const MOST_UNANSWERED: u32 = 3;

/// See the module.
pub(super) struct Standstill {
    watch: Watch,
    /// When the log was asked last, or nothing could come.
    since: Instant,
    late: Late,
    /// Kept here, so that a caller who gives up waiting does not start it over.
    looking: Option<JoinHandle<Result<Looked, BusError>>>,
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
            let begin = || {
                let (meta, places) = (Arc::clone(meta), places());
                tokio::spawn(async move { meta.ask(move |meta| Ok(look(meta, &places))).await })
            };
            let looked = self.looking.get_or_insert_with(begin).await;
            self.looking = None;
            self.since = self.watch.clock.instant();
            let looked = looked.map(Result::unwrap_or_default).unwrap_or_default();
            if let Some((Partition { topic, partition }, next)) = self.late.take(looked, &places()) {
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

/// What a look at the log found.
#[derive(Debug, Default)]
struct Looked {
    /// The places behind which something lies.
    unread: Places,
    /// Those that were asked and behind which nothing lies.
    read: HashSet<Partition>,
}

/// A broker that is away hides nothing of the others'.
fn look(meta: &Meta, places: &Places) -> Looked {
    let mut looked = Looked::default();
    let mut unanswered = 0;
    for (partition, next) in places {
        match meta.range(partition) {
            Ok(held) if held.holds_behind(*next) => {
                looked.unread.insert(partition.clone(), *next);
            }
            Ok(_) => {
                looked.read.insert(partition.clone());
            }
            // Each may take as long as an answer may: the others are asked at the next look.
            Err(_) if unanswered == MOST_UNANSWERED => break,
            Err(_) => unanswered += 1,
        }
    }
    looked
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
    /// Takes in what was found of the places that are read to `now`; a place that has stood still for too long, if there is one.
    fn take(&mut self, looked: Looked, now: &Places) -> Option<(Partition, i64)> {
        let before = std::mem::take(&mut self.looks);
        for (partition, (next, looks)) in &before {
            let is_told = looked.unread.contains_key(partition) || looked.read.contains(partition);
            // What could not be asked is as it was.
            if !is_told && now.get(partition) == Some(next) {
                self.looks.insert(partition.clone(), (*next, *looks));
            }
        }
        for (partition, next) in looked.unread {
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

    /// All that was asked is unread.
    fn unread(next: &[i64]) -> Looked {
        Looked {
            unread: places(next),
            read: HashSet::new(),
        }
    }

    #[test]
    fn a_client_that_brings_nothing_is_late_at_the_second_look() {
        let mut late = Late::default();
        assert_eq!(late.take(unread(&[5]), &places(&[5])), None);
        assert_eq!(late.take(unread(&[5]), &places(&[6])), None, "it came meanwhile");
        assert_eq!(late.take(unread(&[6]), &places(&[6])), None);
        assert_eq!(
            late.take(unread(&[6]), &places(&[6])),
            Some((Partition::new("t", 0), 6))
        );
    }

    #[test]
    fn what_could_not_be_asked_hides_nothing_of_the_others_and_stays_as_it_was() {
        let mut late = Late::default();
        let now = places(&[5, 7]);
        assert_eq!(
            late.take(unread(&[5]), &now),
            None,
            "the broker of the other one is away"
        );
        assert_eq!(late.take(Looked::default(), &now), None, "both are");
        assert_eq!(late.take(unread(&[5]), &now), Some((Partition::new("t", 0), 5)));
        let read = Looked {
            unread: Places::new(),
            read: now.keys().cloned().collect(),
        };
        assert_eq!(late.take(read, &now), None, "nothing lies there after all");
        assert_eq!(late.take(unread(&[5]), &now), None);
    }

    #[test]
    fn one_partition_that_brings_nothing_is_late_though_others_flow() {
        let mut late = Late::default();
        for look in 1..LOOKS_BESIDE_OTHERS {
            let now = places(&[5, i64::from(look)]);
            assert_eq!(late.take(unread(&[5]), &now), None, "look {look}");
            late.silent = 0;
        }
        let stuck = late.take(unread(&[5]), &places(&[5, 99]));
        assert_eq!(stuck, Some((Partition::new("t", 0), 5)));
    }
}
