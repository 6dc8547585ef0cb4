//! The embedded log: one stream of records of all partitions, on segment files, over a small [`Storage`].
//!
//! No threads and no clock: whoever drives it says when, so that a simulated disk can do to it what disks do.

#[cfg(feature = "simulated")]
pub mod simulated;
pub mod storage;

pub use storage::{Storage, StorageFile};
