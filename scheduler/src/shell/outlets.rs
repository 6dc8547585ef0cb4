//! What the scheduler publishes, and what follows once it is in the log.
//!
//! What is published twice does no harm: workers know an attempt they hold already, another pool knows a request by its id, and of
//! two outcomes the first wins.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{BusError, Outgoing};
use relay_control::finish;
use relay_runner::{Backlog, Outlet, Weight, crash_point};
use relay_schemas::Service;

use super::context::{Context, Signal};
use super::records::{Conclusion, ready_record};
use crate::core::{Attempt, HandOver};

/// Longest time that final frames may take; the log tells an ingress that misses one.
const FINALS: Duration = Duration::from_secs(2);

/// Work for workers.
pub(super) struct WorkOutlet(pub(super) Arc<Context>);

impl Outlet for WorkOutlet {
    type Item = (Attempt, Outgoing);

    fn begin(&self, _: &mut [Self::Item]) {
        crash_point(Service::Scheduler, "before_lease");
    }

    fn records(&self, (_, record): &Self::Item) -> Vec<Outgoing> {
        vec![record.clone()]
    }

    async fn published(&self, items: Vec<Self::Item>) {
        crash_point(Service::Scheduler, "after_lease");
        let attempts = items.into_iter().map(|(attempt, _)| attempt).collect();
        self.0.signal(Signal::Dispatched(attempts)).await;
    }

    async fn refused(&self, (attempt, _): Self::Item, error: BusError) -> Option<Self::Item> {
        let signal = Signal::Undispatchable(attempt, error.to_string());
        self.0.signal(signal).await;
        None
    }
}

/// Requests for other pools.
pub(super) struct HandOverOutlet(pub(super) Arc<Context>);

impl Outlet for HandOverOutlet {
    type Item = Box<HandOver>;

    fn begin(&self, _: &mut [Self::Item]) {
        crash_point(Service::Scheduler, "before_hand_over");
    }

    fn records(&self, handover: &Self::Item) -> Vec<Outgoing> {
        vec![ready_record(handover)]
    }

    /// The hand-overs behind must not wait for a topic that is not there: it is tried again by itself.
    fn is_final(&self, error: &BusError) -> bool {
        matches!(error, BusError::TooLarge { .. } | BusError::UnknownTopic(_))
    }

    async fn published(&self, items: Vec<Self::Item>) {
        crash_point(Service::Scheduler, "after_hand_over");
        for handover in &items {
            say(handover);
        }
        let ids = items
            .into_iter()
            .map(|handover| handover.ready.request.request_id.clone());
        let ids = ids.collect();
        self.0.signal(Signal::HandedOver(ids)).await;
    }

    async fn refused(&self, handover: Self::Item, error: BusError) -> Option<Self::Item> {
        let signal = match error {
            BusError::UnknownTopic(topic) => Signal::CannotHandOverYet(handover, topic),
            error => {
                let id = handover.ready.request.request_id.clone();
                Signal::CannotHandOver(id, error.to_string())
            }
        };
        self.0.signal(signal).await;
        None
    }
}

fn say(handover: &HandOver) {
    if let Some(last) = handover.ready.planning.handovers.last() {
        tracing::info!(
            request.id = %handover.ready.request.request_id,
            pool = last.from_pool,
            to = last.to_pool,
            code = last.code,
            reason = last.message,
            "a request goes on in another pool"
        );
    }
}

/// Outcomes and dead letters; the final frames follow once they are acknowledged.
pub(super) struct ConclusionOutlet {
    pub(super) context: Arc<Context>,
    pub(super) backlog: Arc<Backlog>,
}

impl Outlet for ConclusionOutlet {
    type Item = (Conclusion, Weight);

    fn begin(&self, batch: &mut [Self::Item]) {
        let now = self.context.runtime.clock.now();
        for (conclusion, _) in batch {
            if let Conclusion::Outcome(outcome, _) = conclusion {
                // It ends when it enters the log, not when it was decided: the bus may have been away in between.
                let ended_at = now.max(outcome.ended_at);
                Arc::make_mut(outcome).ended_at = ended_at;
            }
        }
        crash_point(Service::Scheduler, "before_outcome");
    }

    fn records(&self, (conclusion, _): &Self::Item) -> Vec<Outgoing> {
        conclusion.records()
    }

    async fn published(&self, items: Vec<Self::Item>) {
        self.backlog
            .published(items.iter().map(|(_, weight)| *weight).sum());
        crash_point(Service::Scheduler, "after_outcome");
        crash_point(Service::Scheduler, "before_final");
        send_finals(&self.context, items).await;
        crash_point(Service::Scheduler, "after_final");
    }

    /// One that is too large must end all the same, so it goes without what makes it large, and without a final frame.
    async fn refused(&self, (mut conclusion, weight): Self::Item, error: BusError) -> Option<Self::Item> {
        if conclusion.shorten() {
            return Some((conclusion, weight));
        }
        tracing::error!(%error, "an outcome does not fit into its topic even without its request and is left out");
        self.backlog.published(weight);
        None
    }
}

async fn send_finals(context: &Arc<Context>, items: Vec<(Conclusion, Weight)>) {
    let outcomes = items.into_iter().filter_map(|(conclusion, _)| match conclusion {
        Conclusion::Outcome(outcome, _) => Some(outcome),
        Conclusion::DeadLetter(_) => None,
    });
    let finals = outcomes.map(|outcome| {
        let context = context.clone();
        async move { finish(&*context.control, &outcome, 0, true).await }
    });
    let all = futures::future::join_all(finals);
    if tokio::time::timeout(FINALS, all).await.is_err() {
        tracing::warn!("final frames took too long and are left out: the log tells");
    }
}
