//! What can go wrong, and what is known then.

use std::io;

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A batch, key or record is larger than the format can hold. Nothing was written.
    #[error("{0}")]
    TooLarge(String),
    /// The disk is full. Nothing was written; appending works again once there is room.
    #[error("the disk of the log is full: {0}")]
    Full(#[source] io::Error),
    /// The disk failed. Nothing was written.
    #[error("the disk of the log failed: {0}")]
    Failed(#[source] io::Error),
    /// The disk failed halfway, and cutting back what had been written failed as well: after a crash all of it, or nothing,
    /// may be there.
    #[error("the disk of the log failed, and whether the records are in it is not known: {0}")]
    Unknown(#[source] io::Error),
    /// A sync failed before and could not be made good; see [`crate::Log::mend`]. Nothing was written.
    #[error("the log takes nothing since its disk failed: {0}")]
    Failing(String),
}

impl AppendError {
    /// Whether nothing of the batches can ever be in the log.
    pub fn certainly_not_taken(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    pub(crate) fn of(error: io::Error) -> Self {
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            Self::Full(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder holds the log of an older Relay.
    #[error(
        "the folder holds {0}, a log of an older format, which is not converted; choose another data folder, or empty this one"
    )]
    OldFormat(String),
    /// A segment is of a format that this version does not know.
    #[error(
        "segment {segment} is of format {version}, and this version reads format 1 only; use the version that wrote it"
    )]
    Version {
        /// The file.
        segment: String,
        /// Its format.
        version: u16,
    },
    /// Nothing of the log's only segment can be told from damage.
    #[error(
        "both heads of {0}, the only segment, are damaged, so nothing in it can be verified; restore a backup"
    )]
    Damaged(String),
    /// The end of the log cannot be read, and what stands there may have been acknowledged: it is not cut off.
    #[error(
        "the disk does not give {0} back, with which the log ends, and what stands there may have been acknowledged; try again, mend the disk, or restore a backup"
    )]
    Unreadable(String),
    /// The disk failed.
    #[error(
        "{doing}: {source}; see to the disk and to the rights of the folder, then start again, or restore a backup"
    )]
    Io {
        /// What was done.
        doing: String,
        /// What the disk said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
