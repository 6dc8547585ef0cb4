//! Copying a log that a gateway may write to meanwhile.

use std::path::Path;

pub use relay_log::Copied;
use relay_log::DiskStorage;

use crate::BusError;

/// Copies the log in `source` to the folder `target`, which must not hold one; the copy ends with a whole batch, and is on disk
/// when this returns.
///
/// # Errors
/// What the disk said; that `target` holds a log; or that segments were cleaned faster than they could be copied.
pub fn copy(source: &Path, target: &Path) -> Result<Copied, BusError> {
    relay_log::backup(&DiskStorage::read_only(source), target).map_err(|error| {
        let (source, target) = (source.display(), target.display());
        BusError::Fatal(format!("copying the log from {source} to {target}: {error}"))
    })
}
