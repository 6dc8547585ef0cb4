//! One pool's scheduler as a stateful stage: stands by until it wins the lead, leads until it loses it.

use std::sync::Arc;

use relay_runner::{Election, StatefulStage, Tenure, run_stateful};
use tokio::sync::mpsc;

use super::context::{Context, Signal};
use super::lead::lead;
use super::listeners;
use super::metrics::PoolMetrics;
use crate::config::Config;
use crate::deps::Deps;
use crate::error::Error;
use crate::leadership::SchedulerTopic;

/// Stands by and leads in turn, until a drain.
pub(crate) async fn run(
    config: Arc<Config>,
    deps: &Deps,
    pool: &str,
    metrics: PoolMetrics,
) -> Result<(), Error> {
    let times = config.leadership.times();
    let (context, signals) = Context::new(config, deps, pool, metrics);
    let _listeners = listeners::start(&context);
    let (log, identity) = (context.log.clone(), context.identity.clone());
    let topic = SchedulerTopic {
        pool: pool.to_owned(),
    };
    run_stateful(log, identity, topic, times, &mut Stage { context, signals }).await
}

struct Stage {
    context: Arc<Context>,
    signals: mpsc::Receiver<Signal>,
}

impl StatefulStage for Stage {
    type Topic = SchedulerTopic;
    type Error = Error;

    async fn let_go(&mut self) -> Result<(), Error> {
        match self.signals.recv().await {
            Some(Signal::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn lead(&mut self, election: &mut Election<SchedulerTopic>) -> Result<Tenure, Error> {
        self.context.metrics.lock().leader.set(1);
        let ended = lead(&self.context, election, &mut self.signals).await;
        self.context.metrics.lock().leader.set(0);
        ended
    }
}
