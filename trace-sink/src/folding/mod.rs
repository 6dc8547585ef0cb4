//! Folds the log into the tables, from where the tables themselves say they stand.
//!
//! The group only says which instance folds which partition; its commit tells the log how far outcomes were used once, and so
//! whether the tables lack something that was folded before: then they were lost, emptied or restored, and are rebuilt.
//!
//! Dead letters go with that commit: what lies before it has its dead letters, whatever is folded again, and what lies between it
//! and where the tables stand may lack them, after a death in between.

mod batch;
mod deliver;
mod ground;
mod share;
mod sorting;
mod start;

use std::collections::BTreeSet;
use std::time::Duration;

use relay_bus::{BusError, ConsumerEvent, Partition, topics};
use relay_runner::{Backoff, dependency};

pub(crate) use self::batch::Limits;
pub(crate) use self::ground::Ground;
use self::ground::{AGAIN, FIRST, GROUP, LONGEST, outcomes};
use self::share::{FoldEnd, Share};

/// Longest wait for leaving the group.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Folds until a drain is over.
///
/// # Errors
/// What waiting for the log does not mend.
pub(crate) async fn run(ground: &Ground) -> Result<(), BusError> {
    let runtime = &ground.runtime;
    let mut backoff = Backoff::new(FIRST, LONGEST, &runtime.chance);
    loop {
        match member(ground, &mut backoff).await {
            Ok(()) => return Ok(()),
            Err(error) if error.may_pass() => {
                runtime.health.down(dependency::BUS, error.to_string());
                tracing::debug!(%error, "folding waits for the log");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            biased;
            () = runtime.shutdown.draining() => return Ok(()),
            () = backoff.wait() => {}
        }
    }
}

/// Folds what the group gives this instance, until a drain is over.
async fn member(ground: &Ground, backoff: &mut Backoff) -> Result<(), BusError> {
    let runtime = &ground.runtime;
    let mut consumer = runtime
        .bus
        .subscribe(GROUP, &[topics::OUTCOMES.to_owned()])
        .await?;
    runtime.health.up(dependency::BUS);
    backoff.reset();
    let mut owned: BTreeSet<i32> = BTreeSet::new();
    loop {
        let mut folding = Box::pin(fold(ground, &owned));
        let event = tokio::select! {
            biased;
            () = runtime.shutdown.stopped() => return Ok(()),
            ended = &mut folding => {
                ended?;
                break;
            }
            event = consumer.next() => event?,
        };
        // What is under way is given up here: the tables hold all of it or nothing, and say which.
        drop(folding);
        match event {
            // They are read from elsewhere.
            ConsumerEvent::Records(_) => consumer.pause(&partitions(&owned)).await?,
            ConsumerEvent::Assigned(more) => {
                owned.extend(more.iter().map(|partition| partition.partition));
                consumer.pause(&more).await?;
            }
            ConsumerEvent::Revoked(fewer) => {
                for partition in fewer {
                    owned.remove(&partition.partition);
                }
            }
        }
    }
    let _ = tokio::time::timeout(LEAVE_WITHIN, consumer.leave()).await;
    Ok(())
}

/// Folds `owned` until a drain.
async fn fold(ground: &Ground, owned: &BTreeSet<i32>) -> Result<(), BusError> {
    let shutdown = &ground.runtime.shutdown;
    if owned.is_empty() {
        shutdown.draining().await;
        return Ok(());
    }
    loop {
        let folding = async {
            let mut share = Share::begin(ground, owned).await?;
            share.fold_on().await
        };
        tokio::select! {
            biased;
            // What is not folded now, whoever folds next reads again.
            () = shutdown.stopped() => return Ok(()),
            ended = folding => match ended? {
                FoldEnd::Drained => return Ok(()),
                // Emptied, restored, or folded on by whoever had the partition before: from where they stand now.
                FoldEnd::Moved => {}
            },
            () = waits_in_vain(ground) => return Ok(()),
        }
    }
}

/// Completes in a drain where the tables are away: for a batch in hand it waits, not for them.
async fn waits_in_vain(ground: &Ground) {
    ground.runtime.shutdown.draining().await;
    while !ground.condition.is_held_up() {
        tokio::time::sleep(AGAIN.0).await;
    }
}

fn partitions(owned: &BTreeSet<i32>) -> Vec<Partition> {
    owned.iter().map(|number| outcomes(*number)).collect()
}
