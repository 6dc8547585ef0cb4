//! Holds the number of a topic's partitions against what it must be.

use relay_bus::BusError;

use crate::runtime::Runtime;

/// Looks, until a drain, whether `topic` has as many partitions as the manifest says. For a topic whose number may not change: where
/// one reader counts others than the next, what is first in partition order is not the same for both.
///
/// # Errors
/// Once it has another number, with what to do. A topic that is not there, and a bus that does not answer, are waited for.
pub async fn hold_partitions(runtime: &Runtime, topic: &str, expected: i32) -> Result<(), BusError> {
    loop {
        match runtime.bus.partitions(topic).await {
            Ok(found) if found != expected => {
                return Err(BusError::Fatal(format!(
                    "{topic} has {found} partitions, and the topic manifest says {expected}: this number never changes, because who won \
                     is the first in partition order. Let every process of this log end, set `partitions: {found}` for it in the \
                     manifest of all of them, and start them again"
                )));
            }
            Ok(_) | Err(_) => {}
        }
        tokio::select! {
            biased;
            () = runtime.shutdown.draining() => return Ok(()),
            () = tokio::time::sleep(runtime.bus.looks_every()) => {}
        }
    }
}
