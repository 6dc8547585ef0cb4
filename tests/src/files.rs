//! Where things lie: the checkout, and the executables built beside this one.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context;
use parking_lot::Mutex;

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the checkout")
        .to_owned()
}

/// An executable of this build: beside this one, or one folder up when this is a test.
pub fn executable(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no `{name}` beside {}: `cargo build -p relay-tests --bins` makes it",
            this.display()
        )
    })
}

/// A port that was free a moment ago, below the range from which outgoing connections take theirs. None is given out twice: a
/// process whose port was taken would end, and whoever took it would answer for it.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = rand::random_range(15_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && GIVEN.lock().insert(port) {
            return port;
        }
    }
}

/// Leaves the folder of a proof that failed, and says where it is.
pub fn kept<T>(proof: anyhow::Result<T>, folder: &mut tempfile::TempDir) -> anyhow::Result<T> {
    proof.map_err(|error| {
        folder.disable_cleanup(true);
        error.context(format!(
            "configuration, logs and data are in {}",
            folder.path().display()
        ))
    })
}
