//! What is on its way out: a queue for each outlet, and the questions being asked. All of it ends when dropped.

use std::sync::Arc;

use relay_bus::Outgoing;
use relay_runner::{Backlog, LeadershipLane, NoticeKind, PublisherError, Publishers, Weight};
use relay_schemas::Service;
use tokio::sync::mpsc::UnboundedSender;

use super::context::Context;
use super::outlets::{ConclusionOutlet, HandOverOutlet, WorkOutlet};
use super::records::Conclusion;
use crate::core::{Attempt, HandOver};

/// The queues are bounded by what fills them. Work: a record needs a credit, so there are never more than the workers have
/// slots. Requests for other pools: what the core holds. Conclusions: once `limits.max_unpublished` of them wait, the leader reads
/// nothing more ([`Backlog`]), so beyond that there is at most what one round read and what the queues held.
pub(super) struct Outbox {
    lanes: Option<Lanes>,
    backlog: Arc<Backlog>,
    publishers: Publishers,
}

struct Lanes {
    work: UnboundedSender<(Attempt, Outgoing)>,
    handovers: UnboundedSender<Box<HandOver>>,
    conclusions: UnboundedSender<(Conclusion, Weight)>,
    leadership: LeadershipLane,
}

impl Outbox {
    /// Starts the publishers.
    pub(super) fn start(context: &Arc<Context>) -> Self {
        let backlog = Arc::new(Backlog::new(context.config.limits.max_unpublished.as_usize()));
        let mut publishers = Publishers::new(context.log.clone());
        let conclusions = ConclusionOutlet {
            context: context.clone(),
            backlog: backlog.clone(),
        };
        let lanes = Lanes {
            work: publishers.open(WorkOutlet(context.clone())),
            handovers: publishers.open(HandOverOutlet(context.clone())),
            conclusions: publishers.open(conclusions),
            leadership: publishers.open_leadership(Service::Scheduler),
        };
        Self {
            lanes: Some(lanes),
            backlog,
            publishers,
        }
    }

    /// Publishes a work record. (A publisher that has ended is told by [`Outbox::failed`].)
    pub(super) fn work(&self, attempt: Attempt, record: Outgoing) {
        if let Some(lanes) = &self.lanes {
            let _ = lanes.work.send((attempt, record));
        }
    }

    /// Publishes a request for another pool.
    pub(super) fn hand_over(&self, handover: Box<HandOver>) {
        if let Some(lanes) = &self.lanes {
            let _ = lanes.handovers.send(handover);
        }
    }

    /// Publishes an outcome or a dead letter.
    pub(super) fn conclude(&self, conclusion: Conclusion) {
        let weight = conclusion.weight();
        self.backlog.queued(weight);
        if let Some(lanes) = &self.lanes {
            let _ = lanes.conclusions.send((conclusion, weight));
        }
    }

    /// What of the conclusions is not in the log yet.
    pub(super) fn backlog(&self) -> Arc<Backlog> {
        self.backlog.clone()
    }

    /// Whether the leadership record before is out of the way.
    pub(super) fn can_write(&self) -> bool {
        self.lanes
            .as_ref()
            .is_some_and(|lanes| lanes.leadership.is_free())
    }

    /// Appends a leadership record.
    pub(super) fn write(&self, kind: NoticeKind, record: Outgoing) {
        if let Some(lanes) = &self.lanes {
            lanes.leadership.write(kind, record);
        }
    }

    /// Whether a snapshot did not get into the log since this was asked last.
    pub(super) fn lost_snapshot(&self) -> bool {
        self.lanes
            .as_ref()
            .is_some_and(|lanes| lanes.leadership.lost_snapshot())
    }

    /// Runs a question.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.publishers.ask(task);
    }

    /// Lets go of questions that are over.
    pub(super) fn reap(&mut self) {
        self.publishers.reap();
    }

    /// Why a publisher ended, once one does. Safe to drop while waiting.
    pub(super) async fn failed(&mut self) -> PublisherError {
        self.publishers.failed().await
    }

    /// Takes nothing more and waits until everything is out.
    pub(super) async fn drained(&mut self) {
        self.lanes = None;
        self.publishers.finished().await;
    }
}
