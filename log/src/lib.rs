//! The embedded log: one stream of records of all partitions, on segment files, over a small [`Storage`].
//!
//! No threads and no clock: whoever drives it says when, so that a simulated disk can do to it what disks do.
//! `docs/log-format.md` describes the files byte by byte.

mod backup;
mod cleaning;
mod compaction;
mod disk;
mod error;
mod files;
pub mod format;
mod index;
mod io;
mod layout;
mod locate;
mod log;
mod open;
mod opened;
mod options;
mod reading;
mod scan;
mod segment;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod storage;
mod sync_end;
mod uncut;
mod verify;

pub use backup::{Copied, backup};
pub use cleaning::{CleanPlan, Cleaned};
pub use disk::DiskStorage;
pub use error::{AppendError, OpenError};
pub use log::{Batch, Gone, Log, NewRecord, Span, Ticket};
pub use opened::{CutOff, Damage, Misnamed, Opened};
pub use options::Options;
pub use reading::{Damaged, Found, Read, ReadPlan, Record};
pub use storage::{Storage, StorageFile};
pub use sync_end::{Lost, SyncEnd, Unreadable};
pub use verify::{Verified, verify};

/// One partition of one topic; who uses the log says which.
pub type Slot = u32;
/// The number of an entry; they count for ever, from 1.
pub type Seq = u64;
