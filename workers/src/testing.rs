//! What the tests of several modules share.

use std::time::Duration;

mod fixture;

pub use fixture::work;

/// Waits until `holds`; a test that waits too long fails.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("this was to happen within ten seconds");
}
