//! A disk that does what disks do, and the log's histories on it.
//!
//! Compiled only with the feature `simulated`. Everything follows from a seed: no wall clock, no threads.

mod disk;
mod faults;
mod file;
pub mod histories;
mod inode;
mod machine;
mod names;
mod shortest;

pub use disk::SimulatedDisk;
pub use faults::{Aftermath, Call, Fault, Mischief};
pub use file::SimulatedFile;
pub use machine::Neglect;
pub use shortest::shortest;
