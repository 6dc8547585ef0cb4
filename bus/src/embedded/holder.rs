//! Who has the log open: written beside it, so that a second opener can be told.

use std::fs;
use std::io;
use std::path::Path;

const HOLDER: &str = "holder";

pub(super) fn write(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(HOLDER), format!("process {}", std::process::id()))
}

/// What to say to somebody who finds the log in use.
pub(super) fn complaint(folder: &Path) -> String {
    let holder = fs::read_to_string(folder.join(HOLDER)).unwrap_or_else(|_| "another process".to_owned());
    format!(
        "the log in {} is in use by {holder}; stop it, or choose another data folder",
        folder.display()
    )
}
