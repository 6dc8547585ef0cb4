//! One pool's scheduler: stands by until it wins the lead, leads until it loses it, and so on until a drain.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::{Context, Signal};
use super::election::Election;
use super::lead::{Tenure, lead};
use super::listeners;
use super::metrics::PoolMetrics;
use super::sleep::sleep_until;
use crate::config::Config;
use crate::deps::Deps;
use crate::error::Error;

/// Stands by and leads in turn, until a drain.
pub(crate) async fn run(
    config: Arc<Config>,
    deps: &Deps,
    pool: &str,
    metrics: PoolMetrics,
) -> Result<(), Error> {
    let (context, mut signals) = Context::new(config, deps, pool, metrics);
    let mut election = tokio::select! {
        () = context.runtime.shutdown.draining() => return Ok(()),
        opened = Election::open(context.clone()) => opened?,
    };
    let _listeners = listeners::start(&context);
    while stand_by(&context, &mut election, &mut signals).await? {
        let epoch = election.leadership().epoch();
        tracing::info!(pool, scheduler.epoch = epoch, "this instance leads the pool");
        context.metrics.lock().leader.set(1);
        let snapshot = election.take_snapshot();
        let ended = lead(&context, &mut election, &mut signals, epoch, snapshot).await;
        context.metrics.lock().leader.set(0);
        match ended? {
            Tenure::Drained => break,
            Tenure::Deposed => tracing::warn!(
                pool,
                scheduler.epoch = election.leadership().epoch(),
                "another instance leads the pool; this one stands by"
            ),
        }
    }
    Ok(())
}

/// Follows the scheduler's topic and claims the lead when it is free; false on a drain.
async fn stand_by(
    context: &Context,
    election: &mut Election,
    signals: &mut mpsc::Receiver<Signal>,
) -> Result<bool, Error> {
    while !election.leadership().leads() {
        let now = context.runtime.clock.now();
        if election.claim_due().is_some_and(|due| due <= now) {
            election.claim(now).await?;
        }
        let due = election.claim_due();
        tokio::select! {
            () = context.runtime.shutdown.draining() => return Ok(false),
            records = election.next() => election.observe(&records?),
            Some(signal) = signals.recv() => {
                if let Signal::Failed(error) = signal {
                    return Err(error);
                }
            }
            () = sleep_until(due, now) => {}
        }
    }
    Ok(true)
}
