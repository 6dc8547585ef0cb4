//! What is on its way out: the publishers and their queues, and the questions being asked. All of it ends when dropped.

use std::sync::Arc;

use relay_bus::{BusError, Outgoing};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::backlog::{Backlog, Weight};
use crate::core::Attempt;
use crate::error::Error;
use crate::pool::Shared;
use crate::publisher::{Ending, publish_endings, publish_work, scribe};

/// The queues are bounded by what fills them. Work: a record needs a credit, so there are never more than the workers have
/// slots. Endings: once `max_unpublished_bytes` of them wait, the leader reads nothing more ([`Backlog`]), so beyond that
/// there is at most what one round read and what the queues held. Leadership records: one.
pub(crate) struct Outbox {
    work: Option<mpsc::UnboundedSender<(Attempt, Outgoing)>>,
    endings: Option<mpsc::UnboundedSender<Ending>>,
    lines: Option<mpsc::Sender<Outgoing>>,
    backlog: Arc<Backlog>,
    publishers: JoinSet<Result<(), BusError>>,
    tasks: JoinSet<()>,
}

impl Outbox {
    /// Starts the publishers.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let (work, works) = mpsc::unbounded_channel();
        let (endings, all_endings) = mpsc::unbounded_channel();
        let (lines, all_lines) = mpsc::channel(1);
        let backlog = Arc::new(Backlog::new(shared.config.max_unpublished_bytes));
        let mut publishers = JoinSet::new();
        publishers.spawn(publish_work(shared.clone(), works));
        publishers.spawn(publish_endings(shared.clone(), all_endings, backlog.clone()));
        publishers.spawn(scribe(shared.clone(), all_lines));
        Self {
            work: Some(work),
            endings: Some(endings),
            lines: Some(lines),
            backlog,
            publishers,
            tasks: JoinSet::new(),
        }
    }

    /// Publishes a work record. (A publisher that has ended is told by [`Outbox::failed`].)
    pub(crate) fn work(&self, attempt: Attempt, record: Outgoing) {
        if let Some(work) = &self.work {
            let _ = work.send((attempt, record));
        }
    }

    /// Publishes an outcome or a dead letter.
    pub(crate) fn end(&self, ending: Ending) {
        self.backlog.queued(Weight::of(&ending));
        if let Some(endings) = &self.endings {
            let _ = endings.send(ending);
        }
    }

    /// What of the endings is not in the log yet.
    pub(crate) fn backlog(&self) -> Arc<Backlog> {
        self.backlog.clone()
    }

    /// Whether the leadership record before is out of the way.
    pub(crate) fn can_write(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.capacity() > 0)
    }

    /// Appends a leadership record.
    pub(crate) fn write(&self, line: Outgoing) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line);
        }
    }

    /// Runs a question.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Lets go of questions that are over.
    pub(crate) fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Why a publisher ended, once one does. Safe to drop while waiting.
    pub(crate) async fn failed(&mut self) -> Error {
        match self.publishers.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            Some(Err(error)) => Error::Task(JoinError::to_string(&error)),
            Some(Ok(Ok(()))) | None => Error::Task("a publisher ended by itself".to_owned()),
        }
    }

    /// Takes nothing more and waits until everything is out.
    pub(crate) async fn drained(&mut self) {
        self.work = None;
        self.endings = None;
        self.lines = None;
        while let Some(ended) = self.publishers.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "a publisher could not finish");
            }
        }
    }
}
