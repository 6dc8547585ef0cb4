//! What is on its way out: the publishers and their queues, and the questions being asked. All of it ends when dropped.

use std::sync::Arc;

use relay_bus::{BusError, Outgoing};
use relay_schemas::RequestId;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::backlog::{Backlog, Weight};
use super::context::Context;
use super::publisher::{append_leadership, publish_conclusions, publish_handovers, publish_work};
use super::records::Conclusion;
use crate::core::Attempt;
use crate::error::Error;

/// The queues are bounded by what fills them. Work: a record needs a credit, so there are never more than the workers have
/// slots. Requests for other pools: what the core holds. Conclusions: once `limits.max_unpublished` of them wait, the leader reads
/// nothing more ([`Backlog`]), so beyond that there is at most what one round read and what the queues held. Leadership records:
/// one.
pub(super) struct Outbox {
    work: Option<mpsc::UnboundedSender<(Attempt, Outgoing)>>,
    handovers: Option<mpsc::UnboundedSender<(RequestId, Outgoing)>>,
    conclusions: Option<mpsc::UnboundedSender<Conclusion>>,
    leadership: Option<mpsc::Sender<Outgoing>>,
    backlog: Arc<Backlog>,
    publishers: JoinSet<Result<(), BusError>>,
    tasks: JoinSet<()>,
}

impl Outbox {
    /// Starts the publishers.
    pub(super) fn start(context: &Arc<Context>) -> Self {
        let (work, works) = mpsc::unbounded_channel();
        let (conclusions, all_conclusions) = mpsc::unbounded_channel();
        let (handovers, all_handovers) = mpsc::unbounded_channel();
        let (leadership, records) = mpsc::channel(1);
        let backlog = Arc::new(Backlog::new(context.config.limits.max_unpublished.as_usize()));
        let mut publishers = JoinSet::new();
        publishers.spawn(publish_work(context.clone(), works));
        publishers.spawn(publish_handovers(context.clone(), all_handovers));
        publishers.spawn(publish_conclusions(
            context.clone(),
            all_conclusions,
            backlog.clone(),
        ));
        publishers.spawn(append_leadership(context.clone(), records));
        Self {
            work: Some(work),
            handovers: Some(handovers),
            conclusions: Some(conclusions),
            leadership: Some(leadership),
            backlog,
            publishers,
            tasks: JoinSet::new(),
        }
    }

    /// Publishes a work record. (A publisher that has ended is told by [`Outbox::failed`].)
    pub(super) fn work(&self, attempt: Attempt, record: Outgoing) {
        if let Some(work) = &self.work {
            let _ = work.send((attempt, record));
        }
    }

    /// Publishes a request for another pool.
    pub(super) fn hand_over(&self, id: RequestId, record: Outgoing) {
        if let Some(handovers) = &self.handovers {
            let _ = handovers.send((id, record));
        }
    }

    /// Publishes an outcome or a dead letter.
    pub(super) fn conclude(&self, conclusion: Conclusion) {
        self.backlog.queued(Weight::of(&conclusion));
        if let Some(conclusions) = &self.conclusions {
            let _ = conclusions.send(conclusion);
        }
    }

    /// What of the conclusions is not in the log yet.
    pub(super) fn backlog(&self) -> Arc<Backlog> {
        self.backlog.clone()
    }

    /// Whether the leadership record before is out of the way.
    pub(super) fn can_write(&self) -> bool {
        self.leadership
            .as_ref()
            .is_some_and(|leadership| leadership.capacity() > 0)
    }

    /// Appends a leadership record.
    pub(super) fn write(&self, record: Outgoing) {
        if let Some(leadership) = &self.leadership {
            let _ = leadership.try_send(record);
        }
    }

    /// Runs a question.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Lets go of questions that are over.
    pub(super) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Why a publisher ended, once one does. Safe to drop while waiting.
    pub(super) async fn failed(&mut self) -> Error {
        match self.publishers.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            Some(Err(error)) => Error::Task(JoinError::to_string(&error)),
            Some(Ok(Ok(()))) | None => Error::Task("a publisher ended by itself".to_owned()),
        }
    }

    /// Takes nothing more and waits until everything is out.
    pub(super) async fn drained(&mut self) {
        self.work = None;
        self.handovers = None;
        self.conclusions = None;
        self.leadership = None;
        while let Some(ended) = self.publishers.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "a publisher could not finish");
            }
        }
    }
}
