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

/// See the module.
pub(super) struct Standstill {
    watch: Watch,
    /// When something came last, or the log was asked.
    since: Instant,
    /// Whether the log held more when it was asked, and nothing has come since.
    behind: bool,
    /// Kept here, so that a caller who gives up waiting does not start it over.
    looking: Option<JoinHandle<Result<Option<String>, BusError>>>,
}

impl Standstill {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            since: watch.clock.instant(),
            watch,
            behind: false,
            looking: None,
        }
    }

    /// Something came, or nothing could.
    pub(super) fn over(&mut self) {
        self.since = self.watch.clock.instant();
        self.behind = false;
        self.looking = None;
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
            match looked {
                Ok(Ok(Some(unread))) if self.behind => {
                    self.behind = false;
                    return unread;
                }
                looked => self.behind = matches!(looked, Ok(Ok(Some(_)))),
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

/// A place behind which something lies.
fn unread(meta: &Meta, places: &Places) -> Result<Option<String>, BusError> {
    for (partition, next) in places {
        let held = meta.range(partition)?;
        if held.high > held.low.max(*next) {
            let Partition { topic, partition } = partition;
            return Ok(Some(format!(
                "{topic}-{partition} is read to {next} and reaches to {}",
                held.high
            )));
        }
    }
    Ok(None)
}
