//! Reads records again that were put off.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use relay_bus::{Bus, BusError, Position, Record};

use super::contract::Stage;
use super::options::StageOptions;
use crate::backoff::backoff;
use crate::stretch::Stretch;

/// Records that lie no further apart are read in one go.
const GAP: i64 = 256;

/// Most readers at once: on Kafka each is a client of its own.
const READERS: usize = 4;

/// What was put off and is to be decided now.
pub(super) struct Recalled {
    /// The records.
    pub(super) records: Vec<Record>,
    /// What the log does not hold any more.
    pub(super) gone: Vec<Position>,
}

/// Waits until the stage recalls some, and reads them, for as long as that takes.
pub(super) async fn recall<S: Stage>(
    stage: Arc<S>,
    bus: Arc<dyn Bus>,
    options: Arc<StageOptions>,
) -> Result<Recalled, BusError> {
    let mut wanted = stage.recall().await;
    wanted.sort_by(|one, other| (&one.partition, one.offset).cmp(&(&other.partition, other.offset)));
    wanted.dedup();
    for failures in 1.. {
        let runs = futures::stream::iter(runs(&wanted)).map(|run| read(&*bus, run));
        let read: Result<Vec<Vec<Record>>, BusError> = runs.buffered(READERS).try_collect().await;
        match read {
            Ok(read) => {
                let records: Vec<Record> = read.into_iter().flatten().collect();
                let mut gone = wanted;
                gone.retain(|wanted| !records.iter().any(|record| record.position == *wanted));
                return Ok(Recalled { records, gone });
            }
            Err(error) if error.may_pass() => {
                if failures == 1 {
                    tracing::warn!(messaging.group = options.group, %error, "records that were put off wait for the bus");
                }
                let wait = backoff(options.retry_base, options.retry_max, failures, rand::random());
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("it is tried for ever")
}

/// What lies near each other.
fn runs(wanted: &[Position]) -> Vec<Vec<Position>> {
    let are_near =
        |one: &Position, next: &Position| one.partition == next.partition && next.offset - one.offset <= GAP;
    wanted.chunk_by(are_near).map(<[Position]>::to_vec).collect()
}

async fn read(bus: &dyn Bus, run: Vec<Position>) -> Result<Vec<Record>, BusError> {
    let ([first, ..], [.., last]) = (&run[..], &run[..]) else {
        return Ok(Vec::new());
    };
    let mut stretch = Stretch::between(bus, first.partition.clone(), first.offset, last.offset + 1).await?;
    let mut records = Vec::new();
    while let Some(record) = stretch.next().await? {
        if run.contains(&record.position) {
            records.push(record);
        }
    }
    Ok(records)
}
