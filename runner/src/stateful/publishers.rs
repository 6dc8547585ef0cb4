//! The tasks of one tenure: publishers, each with its queue, and the questions being asked. All of them end when dropped.

use relay_bus::BusError;
use relay_schemas::Service;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::lead::{LeadershipLane, append};
use super::log::LogClient;
use super::outlet::{Outlet, publish};

/// Why a publisher ended before it was to.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The bus failed in a way that waiting does not mend.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Its task ended unexpectedly.
    #[error("a publisher ended unexpectedly: {0}")]
    Task(String),
}

/// See the module.
pub struct Publishers {
    log: LogClient,
    running: JoinSet<Result<(), BusError>>,
    questions: JoinSet<()>,
}

impl Publishers {
    /// None yet.
    pub fn new(log: LogClient) -> Self {
        Self {
            log,
            running: JoinSet::new(),
            questions: JoinSet::new(),
        }
    }

    /// Starts the publisher of an outlet; it ends once the sender is dropped and all is out. The queue has no bound of its own:
    /// whoever fills it bounds it, or holds the reading up by a [`super::Backlog`].
    pub fn open<O: Outlet>(&mut self, outlet: O) -> mpsc::UnboundedSender<O::Item> {
        let (sender, items) = mpsc::unbounded_channel();
        self.running.spawn(publish(self.log.clone(), outlet, items));
        sender
    }

    /// Starts the publisher of the leader's own records.
    pub fn open_leadership(&mut self, service: Service) -> LeadershipLane {
        let (lane, records, lost) = LeadershipLane::new();
        self.running
            .spawn(append(self.log.clone(), service, records, lost));
        lane
    }

    /// Runs a question.
    pub fn ask(&mut self, question: impl Future<Output = ()> + Send + 'static) {
        self.questions.spawn(question);
    }

    /// Lets go of questions that are over.
    pub fn reap(&mut self) {
        while self.questions.try_join_next().is_some() {}
    }

    /// Why a publisher ended, once one does. Safe to drop while waiting.
    pub async fn failed(&mut self) -> PublisherError {
        match self.running.join_next().await {
            Some(Ok(Err(error))) => error.into(),
            Some(Err(error)) => PublisherError::Task(error.to_string()),
            Some(Ok(Ok(()))) | None => PublisherError::Task("it ended by itself".to_owned()),
        }
    }

    /// Waits until everything is out; the senders must be dropped before.
    pub async fn finished(&mut self) {
        while let Some(ended) = self.running.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "a publisher could not finish");
            }
        }
    }
}
