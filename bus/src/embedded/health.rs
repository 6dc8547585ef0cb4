//! Whether the log takes records, and what is told while it does not. It goes on by itself when it can.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use relay_log::AppendError;

use crate::BusError;

/// Why the log takes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its disk is full.
    Full(String),
    /// Its disk fails.
    Failing(String),
}

/// The health of one log.
pub(super) struct Health {
    folder: String,
    closed: AtomicBool,
    troubled: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

impl Trouble {
    /// What a refused append means for the log; nothing where only that append was wrong.
    pub(super) fn of(error: &AppendError) -> Option<Self> {
        match error {
            AppendError::TooLarge(_) => None,
            AppendError::Full(error) => Some(Self::Full(error.to_string())),
            AppendError::Failed(error) | AppendError::Unknown(error) => {
                Some(Self::Failing(error.to_string()))
            }
            AppendError::Failing(reason) => Some(Self::Failing(reason.clone())),
        }
    }

    fn error(&self, folder: &str) -> BusError {
        match self {
            Self::Full(reason) => BusError::Full(format!("{folder}: {reason}")),
            Self::Failing(reason) => BusError::Failing(format!("the disk of {folder} fails: {reason}")),
        }
    }
}

impl Health {
    /// Of the log in `folder`.
    pub(super) fn new(folder: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            closed: AtomicBool::default(),
            troubled: AtomicBool::default(),
            trouble: Mutex::default(),
        }
    }

    /// The log takes records.
    pub(super) fn works(&self) {
        if !self.is_troubled() {
            return;
        }
        let mut trouble = self.trouble.lock();
        if self.troubled.swap(false, Ordering::AcqRel) {
            *trouble = None;
            tracing::info!("the embedded log takes records again");
        }
    }

    /// The log takes nothing; told once for each kind of trouble.
    pub(super) fn fails(&self, trouble: Trouble) {
        let mut now = self.trouble.lock();
        let same_kind = now
            .as_ref()
            .is_some_and(|now| std::mem::discriminant(now) == std::mem::discriminant(&trouble));
        if !same_kind {
            let error = trouble.error(&self.folder);
            tracing::error!(%error, "the embedded log takes nothing; it goes on by itself when its disk does");
        }
        *now = Some(trouble);
        self.troubled.store(true, Ordering::Release);
    }

    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// Why nothing is taken now, if so.
    pub(super) fn check(&self) -> Result<(), BusError> {
        self.open()?;
        self.trouble
            .lock()
            .as_ref()
            .map_or(Ok(()), |trouble| Err(trouble.error(&self.folder)))
    }

    /// What a publisher is told.
    pub(super) fn refusal(&self, error: &AppendError) -> BusError {
        let folder = &self.folder;
        match error {
            AppendError::Unknown(_) => {
                BusError::Unavailable(format!("{folder}: {error}; the result is unknown"))
            }
            // Publishers' records were measured before: this is the log's own mistake.
            AppendError::TooLarge(reason) => BusError::Fatal(reason.clone()),
            AppendError::Full(error) => BusError::Full(format!("{folder}: {error}")),
            AppendError::Failed(_) | AppendError::Failing(_) => {
                BusError::Failing(format!("{folder}: {error}"))
            }
        }
    }

    /// The log ends; from now on nothing waits.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether there is still a log.
    pub(super) fn open(&self) -> Result<(), BusError> {
        if self.is_closed() { Err(closed()) } else { Ok(()) }
    }
}

/// Of a log that has ended.
pub(super) fn closed() -> BusError {
    BusError::Fatal("the embedded log is closed".to_owned())
}
