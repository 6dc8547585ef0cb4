//! A worker with everything around it, for tests: the worker on an embedded log and a control seam in this process
//! ([`House`]), endpoints that answer by the words of the prompt ([`mock`]) or to the letter ([`scripted`]), and work
//! ([`work`]). Behind the feature `testing`.
#![expect(clippy::missing_panics_doc, reason = "what panics here is a test")]

mod house;
pub mod mock;
pub mod scripted;
mod work;

use std::time::Duration;

pub use house::{Frames, House, PATIENCE};
pub use work::work;

/// Waits until `holds`; a test that waits too long fails.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("this was to happen in time");
}
